"""What the monitor knows about joining and counting. No I/O, no clock, no Kafka, no database."""
