"""When recording stops for want of room, and when it starts again."""

from __future__ import annotations

import pytest
from switchyard_gateway.control.domain.room import Limits, Room, may_record, unrecorded

LIMITS = Limits(off_at=0.9, on_at=0.8, off_below=2_000)


@pytest.mark.parametrize(
    ("room", "recording", "expected"),
    [
        pytest.param(Room(0.5, 500), True, True, id="half full"),
        pytest.param(Room(0.9, 500), True, False, id="nearly full and little left"),
        pytest.param(Room(0.97, 5_000), True, True, id="nearly full, but of a large disk with room left"),
        pytest.param(Room(0.85, 500), True, True, id="not yet full enough to stop"),
        pytest.param(Room(0.85, 500), False, False, id="not yet empty enough to start again"),
        pytest.param(Room(0.79, 500), False, True, id="empty enough to start again"),
    ],
)
def test_recording_stops_for_want_of_room(room, recording, expected):
    assert may_record(room, LIMITS, recording=recording) is expected


@pytest.mark.parametrize(
    ("recording", "dropped", "words"),
    [
        pytest.param(True, 0, "", id="all is kept"),
        pytest.param(True, 812, "the spool is full, 812 exchanges were dropped", id="the shipper lets go"),
        pytest.param(True, 1, "the spool is full, 1 exchange was dropped", id="the shipper lets one go"),
        pytest.param(False, 0, "capture is off, because the volume is 93% full", id="capture is off"),
        pytest.param(True, -5, "", id="the book was begun anew"),
    ],
)
def test_it_says_why_exchanges_are_not_kept(recording, dropped, words):
    assert unrecorded(Room(0.93, 1), recording=recording, dropped=dropped) == words
