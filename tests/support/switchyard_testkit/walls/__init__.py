"""NetworkPolicies enforced on the node: who may speak to whom, as packet rules of the kernel.

The node's network is routed pairs, so every packet between two pods passes the node's own rules. What NetworkPolicies
say is worked out here for each pod (`policies`, pure), written as one table of nftables (`ruleset`, pure), and put into
the kernel whenever pods, namespaces or policies change (`enforcer`, which alone talks to others).

It runs in the node on the machine's bare Python, from a copy among the node's files; so it imports nothing of the
testkit but itself.
"""
