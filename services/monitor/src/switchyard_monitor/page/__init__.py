"""The page: what the monitor knows, for people. Rendered here; a browser runs no script and asks nobody else."""
