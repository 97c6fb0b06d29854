"""The fourth chapter's plot: 2.0.0 is watched by alarms, and the world's clock leaps to a summer it never learnt from.

What differs there was measured beforehand, with the pipeline's own model on all flights of 2013. 2.0.0 learnt from
January and half of February: flights left 10 minutes late on average, and its RMSE on them is 15.1 min. From March to
the middle of May it is 13 minutes and 18.2 min; from 24 June to 14 July 30 minutes and 24.0 min, for of a long delay
the departure tells less. Single days differ by more (the worst of spring comes to 33), so windows are of two.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from switchyard_demo_model.story.plot import Chapter, Ending, Story, chapters, deployment
from switchyard_demo_model.world.schedule import Pace

SPRING = date(2013, 3, 20)
"""To twenty days in a row that are like those of the training (RMSE 19 min at most, nothing has left the reference).
How far the calendar has come by then depends on how fast the machine is, and single days of April and May do differ."""
LEAP = date(2013, 7, 8)
"""To four days in a row that are unlike those of the training: storms on the 8th and 10th, and destinations of the
season. Later weeks have single days that are as bad."""
DAYS = 2
"""In a window. Of the 45 days of training that makes 23, and what is usual takes 20; a week would make 6."""
LIMIT = 25
"""Minutes of RMSE. As the story draws flights, of spring's windows to the middle of May the 18th and
19th of April alone came to more, 25.6; the first two windows after the leap come to 26.6 and 27.7."""
ROWS = 100
"""In a window before it says anything."""
DRIFTED, WORSE = "drifted", "worse"
TRAINER = """
import json, os

asked = json.loads(os.environ["SWITCHYARD_RETRAIN_EVIDENCE"])
left = sorted({one["feature"] for one in asked["features"]})
with open("/dev/termination-log", "w") as log:
    log.write(f"asked by {asked['alarm']}, for {', '.join(left) or 'no feature'} in {len(asked['looks'])} windows")
"""
"""It trains nothing: it says what it was asked, which is all that this story is about."""


def window(pace: Pace) -> int:
    """How long a window is, in whole seconds; that is also where the traffic's days begin."""
    seconds = DAYS * pace.day_seconds
    if not seconds.is_integer():
        raise ValueError(f"{DAYS} days take {seconds:g} s, and windows are whole seconds; choose another day_seconds")
    return int(seconds)


def watched(story: Story) -> Chapter:
    """The version that has served since the second chapter, named again: the file no longer asks for the broken one."""
    return Chapter("fourth", chapters(story)[1].recipe, Ending.PROMOTED)


def alarms(*, pace: Pace, reference: str, image: str) -> dict[str, Any]:
    """What is added to `monitoring`. Both alarms ask for a new model, and once a day of real time it is asked for."""
    common = {"breaches": 2, "of": 3, "minSamples": ROWS, "cooldown": "24h"}
    return {
        "reference": reference,
        "alarms": [
            {"name": DRIFTED, "metric": "drift", "after": "2s", **common},
            {"name": WORSE, "metric": "outcome.rmse", "max": f"{LIMIT}", "window": f"{window(pace)}s", **common},
        ],
        "retrain": {
            "alarms": [DRIFTED, WORSE],
            "cooldown": "24h",
            # A Job and no webhook: pods of any cluster can be started, and not every one reaches this machine.
            "job": {
                "image": image,
                "command": ["python", "-c", TRAINER],
                "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
                "within": "2m",
            },
        },
    }


def watched_deployment(
    chapter: Chapter, *, image: str, provenance: Mapping[str, str], namespace: str, pace: Pace, reference: str
) -> dict[str, Any]:
    """The chapter's file: the good model again, and what it is watched by."""
    body = deployment(chapter, image=image, provenance=provenance, namespace=namespace, pace=pace)
    body["spec"]["monitoring"] |= alarms(pace=pace, reference=reference, image=image)
    return body
