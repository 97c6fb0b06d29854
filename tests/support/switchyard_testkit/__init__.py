"""The machinery that `make demo` and `make test` share: cache, tools, node, images, installation, load."""
