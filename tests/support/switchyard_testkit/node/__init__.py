"""A Kubernetes cluster of one node, from source, in namespaces of its own.

Everything the node is lives in three namespaces of the kernel: its network (named, so that the host can route to it),
its mounts and its process ids. Process 1 of the latter is the one handle on all of it: when it ends, by whatever hand,
the kernel ends every process of the node and of its pods, and their mounts, links and packet rules go with them.
"""
