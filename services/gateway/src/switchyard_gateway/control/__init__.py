"""Control: the gateway's routes, clusters and endpoints, from ModelRoutes and EndpointSlices to Envoy by xDS.

`domain` decides (no I/O, no clock of its own), `adapters` speak to the API server, Envoy and the volume, `controller`
joins them, `door` answers people and the operator, `__main__` composes.
"""
