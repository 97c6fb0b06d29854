"""What touches the world outside: Kafka and the monitor."""
