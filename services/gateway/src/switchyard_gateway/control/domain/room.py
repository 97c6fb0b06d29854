"""Whether exchanges may still be recorded, by the room that is left on the spool's volume.

The shipper keeps its own bound; this is for when it is dead. Answers matter more than records of them, and a full
volume would also take the snapshot's place.
"""

from __future__ import annotations

from dataclasses import dataclass

from switchyard_contracts.judgement import counted, noun


@dataclass(frozen=True, slots=True)
class Room:
    """How full the volume is."""

    used: float
    """The taken share, from 0 to 1."""
    free: int
    """Bytes left to us."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Where recording stops and starts again. Both sides must be short before it stops: on a volume that is a whole
    machine's disk, 90 % taken by others may leave more room than all of a smaller volume.
    """

    off_at: float
    on_at: float
    off_below: int


def may_record(room: Room, limits: Limits, *, recording: bool) -> bool:
    """Stop when little is left, start again only when clearly more is."""
    if room.free >= limits.off_below:
        return True
    return room.used < (limits.off_at if recording else limits.on_at)


def unrecorded(room: Room, *, recording: bool, dropped: int) -> str:
    """Why exchanges are answered and not kept; the empty string when they are.

    Args:
        room: the volume's.
        recording: whether Envoy records.
        dropped: what the shipper let go since the last look, because its spool was full.
    """
    if not recording:
        return f"capture is off, because the volume is {room.used:.0%} full"
    lost = f"{counted(dropped, 'exchange')} {noun(dropped, 'was', 'were')} dropped"
    return f"the spool is full, {lost}" if dropped > 0 else ""
