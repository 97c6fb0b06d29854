"""What texts say, remembered by what the texts are: most rows are the same when somebody asks again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from threading import Lock

from switchyard_monitor.domain.sums import Sums

Reading = Callable[[str], Sums]


class Remembered:
    """Sums that nobody may change, by the digests of their texts; a text of a day may have a hundred kilobytes.

    What was not asked for longest goes first, where all together have more than `most` names.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._names = 0
        self._held: OrderedDict[tuple[bytes, object], Sums] = OrderedDict()
        self._lock = Lock()

    def of(self, text: str, read: Reading, what: object) -> Sums:
        """What is read of the text; `what` tells one reading of it from another."""
        key = blake2b(text.encode(), digest_size=16).digest(), what
        with self._lock:
            if (known := self._held.get(key)) is not None:
                self._held.move_to_end(key)
                return known
        found = read(text)
        with self._lock:
            if key not in self._held:
                self._held[key] = found
                self._names += len(found)
            while self._names > self._most and len(self._held) > 1:
                _, gone = self._held.popitem(last=False)
                self._names -= len(gone)
        return found

    def __len__(self) -> int:
        """How many names are remembered."""
        return self._names
