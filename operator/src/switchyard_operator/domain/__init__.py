"""Pure decisions: no Kopf, no Kubernetes, no clock, no I/O."""
