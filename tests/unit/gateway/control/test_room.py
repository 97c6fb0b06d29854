"""When recording stops for want of room, and when it starts again."""

from __future__ import annotations

import pytest
from switchyard_gateway.control.domain.room import Limits, Room, may_record

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
