"""The reference that 2.0.0 is held against: the weeks it learnt from, played by the same world as the story.

The pipeline writes a profile too, by days of 24 hours (`pipeline.profile`). A day of the story takes seconds, and its
requests are a sample of the day's flights; what is usual is said of windows as long, and drawn in the same way. So the
training's days are laid on the story's clock. Of the flights of these days all are asked about, as the product does,
also those that were cancelled and that nothing could be learnt from.
"""

from __future__ import annotations

from datetime import date
from itertools import takewhile

from switchyard_profile.reference import Reference
from switchyard_profile.training import Options, reference

from switchyard_demo_model.pipeline.prepare import FEATURES, TRAINING
from switchyard_demo_model.pipeline.profile import ANSWER, LIMITS
from switchyard_demo_model.serving.model import LinearModel
from switchyard_demo_model.world.schedule import Predict, World

FIRST, LAST = map(date.fromisoformat, TRAINING)


def on_the_clock(world: World, model: LinearModel, *, window_seconds: int) -> Reference:
    """Profile X, and the model's Y, of the training's days; `world` begins with the first of them."""
    day = world.day(0)
    if day is None or day.midnight.date() != FIRST:
        raise ValueError(f"this world does not begin on {FIRST}, the first day of the training")
    end = ((LAST - FIRST).days + 1) * day.pace.day_seconds
    asked = [action for action in takewhile(lambda one: one.due < end, world.actions()) if isinstance(action, Predict)]
    columns = {name: [getattr(action.flight, name) for action in asked] for name in FEATURES}
    columns[ANSWER] = [model.predict(action.flight) for action in asked]
    options = Options(limits=LIMITS, prediction=ANSWER, window_seconds=window_seconds)
    return reference(columns, times=[int(action.due) for action in asked], options=options)
