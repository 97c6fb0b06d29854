"""The first three chapters of each story, and the ModelDeployment of each: what a person would put into Git. Where all
three went as told, `summer` follows.

The second version comes by shadow, so that the same flights judge both before any user is given its answers; the third
comes straight by canary.

All stories promise the same. `no-difference` serves 1.0.0's model again under the name 2.0.0; `swapped` offers 3.0.0
where 2.0.0 should come, and 2.0.0 after it. Both must therefore break their promise: a demo that cannot fail shows
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from switchyard_demo_model.serving.versions import VERSIONS
from switchyard_demo_model.world.dispatcher import BUFFER_FROM
from switchyard_demo_model.world.schedule import Pace

NAME = "flight-delay"
AFTER_SHADOW = (
    {"name": "twentieth", "weight": 5, "hold": "6s"},
    {"name": "quarter", "weight": 25, "hold": "6s"},
    {"name": "half", "weight": 50, "hold": "6s"},
)
STRAIGHT = ({"name": "fifth", "weight": 20, "hold": "12s"}, {"name": "half", "weight": 50, "hold": "12s"})
METRIC = "outcome"


class Story(StrEnum):
    """Which story is told."""

    MAIN = "main"
    NO_DIFFERENCE = "no-difference"
    SWAPPED = "swapped"


class Ending(StrEnum):
    """How a chapter ended."""

    PROMOTED = "promoted"
    TAKEN_BACK = "taken back"
    REFUSED = "refused"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True)
class Chapter:
    """One version offered to the cluster, and how that should end."""

    ordinal: str  # first | second | third: how `story.yaml` calls it
    recipe: str  # which of the pipeline's models
    expected: Ending

    shadowed: bool = False  # whether it is a shadow first

    @property
    def way(self) -> str:
        """How it comes, in words."""
        return "by shadow, then by canary" if self.shadowed else "by canary"

    @property
    def version(self) -> str:
        """The version the image says it is."""
        return VERSIONS[self.recipe].number


RECIPES: Mapping[Story, tuple[str, str, str]] = {
    Story.MAIN: ("1.0.0", "2.0.0", "3.0.0"),
    Story.NO_DIFFERENCE: ("1.0.0", "2.0.0-nodifference", "3.0.0"),
    Story.SWAPPED: ("1.0.0", "3.0.0", "2.0.0"),
}


def chapters(story: Story) -> tuple[Chapter, Chapter, Chapter]:
    """The story's first three chapters."""
    first, second, third = RECIPES[story]
    return (
        Chapter("first", first, Ending.PROMOTED),
        Chapter("second", second, Ending.PROMOTED, shadowed=True),
        Chapter("third", third, Ending.TAKEN_BACK),
    )


def strategy(chapter: Chapter, *, day: str) -> dict[str, Any]:
    """How the chapter's version comes. A canary without copies is judged by the split alone: each flight meets one."""
    if chapter.shadowed:
        steps = [dict(step) for step in AFTER_SHADOW]
        return {"type": "Shadow", "shadow": {"mirror": "auto", "hold": day, "thenPromote": {"steps": steps}}}
    return {"type": "Canary", "canary": {"mirror": 0, "steps": [dict(step) for step in STRAIGHT]}}


def deployment(
    chapter: Chapter, *, image: str, provenance: Mapping[str, str], namespace: str, pace: Pace
) -> dict[str, Any]:
    """The chapter's file: only the model's own lines and the strategy change.

    The first version meets nobody and takes all at once, whatever the strategy.
    """
    day = f"{pace.day_seconds:g}s"
    spec: dict[str, Any] = {
        "model": {"image": image, "version": chapter.version, "provenance": dict(provenance)},
        "serving": {
            "replicas": 1,
            "resources": {"requests": {"cpu": "300m", "memory": "192Mi"}, "limits": {"memory": "512Mi"}},
            "paths": ["/predict"],
            "timeout": "10s",
            "readyWithin": "3m",
        },
        "strategy": strategy(chapter, day=day),
        "analysis": {
            "risk": {"wrongPromotion": "5%", "wrongRollback": "5%"},
            "block": day,
            "metrics": [
                {"name": "errors", "metric": "error_rate", "role": "guard", "max": "1%", "minSamples": 20},
                # Not merely no worse: 0 % asks for proof that it is better.
                {
                    "name": METRIC,
                    "metric": "outcome.rmse",
                    "role": "decide",
                    "maxIncrease": "0%",
                    "minSamples": 200,
                    "maxWait": "1h",
                },
                {"name": "trust", "metric": "decision.agreement", "role": "observe", "min": "80%"},
            ],
        },
        "rollback": {"automatic": True, "watch": "5m", "warm": {"replicas": 1, "for": "5m"}},
        "monitoring": {
            "window": "2s",
            "prediction": {"path": "$.delay", "task": "regression", "scale": 100},
            "decision": {"threshold": f"{BUFFER_FROM:g}"},
            "outcome": {"horizon": "10m", "judgedAfter": day, "minCoverage": "80%", "affectedBy": "nothing"},
        },
    }
    return {
        "apiVersion": "switchyard.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": spec,
    }
