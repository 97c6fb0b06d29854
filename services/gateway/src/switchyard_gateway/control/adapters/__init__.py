"""What control speaks to: the API server, Envoy's xDS stream and admin socket, the volume."""
