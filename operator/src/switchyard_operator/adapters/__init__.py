"""The edges: the API server, the gateways, the monitor, the model's pods, Kafka."""
