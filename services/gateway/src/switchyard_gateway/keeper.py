"""Keeps a part beside Envoy running: `python -m switchyard_gateway.keeper switchyard_gateway.shipper`.

The kubelet counts a pod as unready while any of its containers is not running, sidecars too, and waits ever longer
before it starts one again. A shipper that was killed would so take a healthy Envoy out of its Service. Therefore each
part runs under a parent that outlives it and starts it anew within its container.

A part that ends with an error right after its start is let go of: its settings are wrong, and the pod has to say so.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from types import FrameType

from switchyard_contracts import logs

log = logging.getLogger("switchyard_gateway.keeper")

YOUNG = 10.0
"""Seconds; a part that lived shorter has not done its work yet."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


def pause(code: int, *, lived: float, last: float) -> float | None:
    """Seconds until the part starts again, or None when it is not started again.

    Args:
        code: how it ended, as `subprocess` says it: negative for a signal.
        lived: seconds since its start.
        last: the pause before that start, 0 before the first.
    """
    if lived >= YOUNG:
        return FIRST_PAUSE
    if code >= 0:
        return None
    return min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * last))


class Keeper:
    """One part and the process it runs in."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._child: subprocess.Popen[bytes] | None = None
        self._told = 0

    def tell(self, number: int, _frame: FrameType | None) -> None:
        """Hand a signal on, and start nothing after it."""
        self._told = number
        if self._child is not None:
            self._child.send_signal(number)

    def keep(self) -> int:
        """Run the part until it is told to end, or ends by itself while young; its exit code."""
        last = 0.0
        while True:
            began = time.monotonic()
            self._child = subprocess.Popen([sys.executable, "-m", self._module])
            if self._told:
                self._child.send_signal(self._told)
            code = self._child.wait()
            lived = time.monotonic() - began
            again = None if self._told else pause(code, lived=lived, last=last)
            if again is None:
                return code if code >= 0 else 128 - code
            log.warning("%s ended with %d after %.0f s; it starts again in %.1f s", self._module, code, lived, again)
            time.sleep(again)
            last = again


def main() -> None:
    """Keep the module that the command line names."""
    if len(sys.argv) != 2:
        sys.exit("say which part to keep: python -m switchyard_gateway.keeper MODULE")
    part = sys.argv[1].rpartition(".")[2].upper()
    logs.configure(os.environ.get(f"{part}_LOG_FORMAT", ""), quiet={})
    keeper = Keeper(sys.argv[1])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, keeper.tell)
    sys.exit(keeper.keep())


if __name__ == "__main__":
    main()
