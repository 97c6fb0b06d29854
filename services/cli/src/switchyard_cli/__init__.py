"""The command line: write, check, plan, watch and steer ModelDeployments. It knows the contracts and the API server."""
