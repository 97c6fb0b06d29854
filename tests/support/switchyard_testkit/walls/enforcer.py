"""The process of the node that keeps the kernel's walls as NetworkPolicies say.

It reads three kinds from the API server and writes one table of packet rules. When it ends, by whatever hand, the table
stays as it is; while the API server is away, too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from switchyard_testkit.walls.policies import walls
from switchyard_testkit.walls.ruleset import ruleset
from switchyard_testkit.walls.watching import Connect, Server, Watched

PODS, NAMESPACES, POLICIES = (
    "/api/v1/pods",
    "/api/v1/namespaces",
    "/apis/networking.k8s.io/v1/networkpolicies",
)


def enforce(connect: Connect, apply: Callable[[str], None], ready: Callable[[], None]) -> None:
    """For ever: whatever changes, work the walls out anew and hand them over when they differ."""
    changed = threading.Event()
    pods, namespaces, policies = (Watched(connect, path, changed=changed.set) for path in (PODS, NAMESPACES, POLICIES))
    for watched in (pods, namespaces, policies):
        threading.Thread(target=watched.follow, daemon=True).start()
    standing = ""
    while True:
        changed.wait()
        changed.clear()
        known = (pods.held, namespaces.held, policies.held)
        if known[0] is None or known[1] is None or known[2] is None:
            continue  # half of the world would make wrong walls
        wanted = ruleset(walls(known[0], known[1], known[2]))
        if wanted != standing:
            apply(wanted)
            standing = wanted
            ready()


def into_the_kernel(rules: str) -> None:
    """The whole table at once; nothing is open in between. Raises CalledProcessError; nft prints why."""
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


def _end(failure: threading.ExceptHookArgs) -> None:
    """A part that is broken ends the process, where the node's health shows it, and leaves no walls that grow old."""
    threading.__excepthook__(failure)
    os._exit(1)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="walls", description=__doc__)
    parser.add_argument("--server", required=True, help="the API server's URL")
    parser.add_argument("--pki", required=True, type=Path, help="folder of ca.crt and of our own certificate and key")
    parser.add_argument("--identity", required=True, help="name of our certificate and key in that folder")
    parser.add_argument("--ready", required=True, type=Path, help="file to make once the walls stand")
    options = parser.parse_args()
    pki, name = options.pki, options.identity
    server = Server(options.server, pki / "ca.crt", pki / f"{name}.crt", pki / f"{name}.key")
    threading.excepthook = _end
    enforce(server.connect, into_the_kernel, options.ready.touch)
