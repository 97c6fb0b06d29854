"""`python -m switchyard_demo_model.story --slot demo [--story main|no-difference|swapped] [--short]`.

Exits 0 when every promise of `story.yaml` held, 1 when one was broken, and 2 when the story could not be told at all.
`--broken FILE` gets the figures of the broken promises, a line each: a false story must be found false for its own
reason.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from switchyard_testkit.install import Installation, InstallError

from switchyard_demo_model.pipeline.source import source
from switchyard_demo_model.product.background import BackgroundTraffic
from switchyard_demo_model.story import reference, summer
from switchyard_demo_model.story.expectations import Script
from switchyard_demo_model.story.fourth import Telling
from switchyard_demo_model.story.narrator import Narrator
from switchyard_demo_model.story.plot import Story
from switchyard_demo_model.story.readings import NotThere, Readings
from switchyard_demo_model.story.teller import Teller, broken
from switchyard_demo_model.world.journeys import FIRST_DAY, journeys
from switchyard_demo_model.world.schedule import Pace, World

UNTOLD = 2
"""The exit code of a story that could not be told."""
DAYS = 300  # of flights in store, from the first of the training on; at the usual pace, 16 minutes of traffic


def main(arguments: Sequence[str]) -> int:
    """Tell the story, and say how it went by the exit code."""
    options = parser().parse_args(arguments)
    script, narrator = Script.read(), Narrator(sys.stdout)
    pace = Pace(rate=script.pace.rate, day_seconds=script.pace.day_seconds)
    try:
        readings = Readings(Installation.read(options.slot), f"flights-{secrets.token_hex(2)}")
        flown = journeys(source(), first=reference.FIRST, days=DAYS)
        winter, world = (
            World(flown, first=first, pace=pace, seed=script.pace.seed) for first in (reference.FIRST, FIRST_DAY)
        )
        seconds, story = summer.window(pace), Story(options.story)
        good = readings.model(summer.watched(story).recipe)
        held_against = reference.on_the_clock(winter, good, window_seconds=seconds)
        teller = Teller(readings, narrator, script, telling=Telling(story, options.short, pace, held_against))
        began = time.monotonic()
        # Days of the story are windows of the monitor, or halves of them.
        held = teller.tell(lambda: BackgroundTraffic(world, readings.addresses(), beat=seconds))
    except (InstallError, NotThere, FileNotFoundError) as error:
        print(f"story: {error}", file=sys.stderr)
        return UNTOLD
    except Exception:  # noqa: BLE001 - code 1 is kept for a story that was told and was false
        traceback.print_exc()
        return UNTOLD
    false = broken(held)
    if options.broken:
        options.broken.write_text("".join(f"{one.figure}\n" for one in false), encoding="utf-8")
    narrator.say(
        f"the story {options.story} took {time.monotonic() - began:.0f} s: "
        + (f"{len(false)} of {len(held)} promises were broken" if false else f"all {len(held)} promises held")
    )
    narrator.say(f"look at what is left: kubectl -n {readings.namespace} get mdep,modelrevisions")
    return 1 if false else 0


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(prog="switchyard_demo_model.story", description=__doc__)
    made.add_argument("--slot", default="demo", help="which cluster (default: demo)")
    made.add_argument("--story", choices=[story.value for story in Story], default=Story.MAIN.value, help="which story")
    made.add_argument("--broken", type=Path, help="write the figures of broken promises to this file")
    made.add_argument("--short", action="store_true", help="live for a shorter time on each version")
    return made


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
