"""Images: what each is made of, how it is built without an engine, and how it gets into a cluster's registry."""
