"""`python -m switchyard_testkit.images build | push | reference`: images, and a cluster that has them.

`build` fills the cache, `push --slot S` also the slot's registry; `reference --slot S --only NAME` says by which name
the cluster pulls an image that was pushed.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from switchyard_testkit.cache import Cache
from switchyard_testkit.errors import TestkitError
from switchyard_testkit.images.builder import Builder, Built
from switchyard_testkit.images.recipes import chosen, every_image
from switchyard_testkit.images.registry import PUSH_SECONDS, Publisher, Slot
from switchyard_testkit.machine import IMAGE_PACKAGES, ensure_packages, require_overlay, require_root
from switchyard_testkit.progress import Progress


def main(arguments: Sequence[str]) -> int:
    """Build, and with `push` send what the slot's registry lacks."""
    options = _parser().parse_args(arguments)
    try:
        if options.verb == "reference":
            for reference in Slot.of(Cache.from_env(os.environ), options.slot).references(options.only):
                print(reference)
            return 0
        require_root()
        require_overlay()
        ensure_packages(IMAGE_PACKAGES)
        cache = Cache.from_env(os.environ)
        builder = Builder(cache)
        recipes = chosen(every_image(cache.root), options.only)
        if options.verb == "build":
            builder.build(recipes)
            print(f"images: all {len(recipes)} are built")
            return 0
        slot = Slot.of(cache, options.slot)
        registry = slot.registry()  # its absence is said before the long work, not after
        images = builder.build(recipes)
        _push(
            images, builder=builder, slot=slot, publisher=Publisher(builder.store, registry, builder.folder / "digests")
        )
    except TestkitError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


def _push(images: Sequence[Built], *, builder: Builder, slot: Slot, publisher: Publisher) -> None:
    with builder.alone():
        held = {built.recipe.title: publisher.known(built.image, built.recipe.name) for built in images}
        missing = [built for built in images if held[built.recipe.title] is None]
        references = {title: reference for title, reference in held.items() if reference is not None}
        if missing:
            plan = {built.recipe.title: PUSH_SECONDS for built in missing}
            progress = Progress("push", plan=plan, durations=builder.durations)
            references |= publisher.publish_all(missing, progress)
            progress.finish()
        slot.write(references)
    print(f"images: {slot.images} names all {len(images)}, {len(missing)} of them pushed now")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="switchyard_testkit.images", description=__doc__)
    parser.add_argument(
        "verb",
        choices=("build", "push", "reference"),
        help="build into the cache; push also fills a registry; or look one up",
    )
    parser.add_argument("--slot", default="test", help="whose registry: demo, test, … (default: test)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these images")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
