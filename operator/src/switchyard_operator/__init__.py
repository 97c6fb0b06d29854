"""The operator: it reads what should be, looks at what is, decides one thing, and does the difference."""
