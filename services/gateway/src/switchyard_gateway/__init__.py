"""The gateway beside Envoy: `control` tells it the routes, `shipper` sends what it recorded."""
