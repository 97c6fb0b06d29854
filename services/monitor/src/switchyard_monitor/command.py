"""`python -m switchyard_monitor replay …`: what a person has read once more, beside the monitor that runs.

    replay events [--partition N]… [--offset N]           the topic, from an offset or from where its log begins
    replay letters [--deployment NS/NAME] [--reason WORD] records out of dead letters

It reads the settings that the monitor reads, so it is run in the monitor's pod. Exit codes: 0 done; 1 done, but some
letters cannot be taken in; 2 nothing was done, and why.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing

from pydantic import ValidationError
from switchyard_contracts import logs
from switchyard_contracts.kafka_trouble import Complaints

from switchyard_monitor import replay
from switchyard_monitor.adapters.store import SqlStore
from switchyard_monitor.bus import KafkaBroker, KafkaLetters, connection
from switchyard_monitor.errors import MonitorError
from switchyard_monitor.models import Models
from switchyard_monitor.settings import Settings

SHOWN = 20
"""Letters that cannot be taken in, of which each is told; the rest are counted."""


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """The command line."""
    asked = _parser().parse_args(arguments)
    logs.configure(environ.get("MONITOR_LOG_FORMAT", ""), quiet={"kafka": logging.CRITICAL})
    try:
        settings = Settings.from_env(environ)
        with closing(SqlStore(settings.database.get_secret_value())) as store:
            if asked.what == "events":
                return _events(settings, store, asked)
            return _letters(settings, store, asked)
    except (ValidationError, ValueError, OSError, MonitorError) as error:
        _say(f"nothing more was done: {error}")
        return 2


def _events(settings: Settings, store: SqlStore, asked: argparse.Namespace) -> int:
    with closing(_broker(settings)) as broker:
        moved = replay.events(store, broker, partitions=asked.partition, offset=asked.offset)
    for each in moved:
        again = each.before - each.offset
        what = f"{again} events are read once more" if again >= 0 else f"{-again} events are left out, as gaps"
        lifted = f"; it is no longer stopped ({each.stopped})" if each.stopped else ""
        _say(f"partition {each.partition}: read on from offset {each.offset}, {what}{lifted}")
    return 0


def _letters(settings: Settings, store: SqlStore, asked: argparse.Namespace) -> int:
    names, models = settings.topic_names, Models()
    with closing(_broker(settings)) as broker:
        models.learn(broker.models())
    explain = Complaints.hear(settings).explain
    with closing(KafkaLetters(connection(settings), topic=names.deadletter, explain=explain)) as source:
        wanted = replay.Wanted(deployment=asked.deployment, reason=asked.reason)
        tally = replay.letters(store, models, source, topic=names.events, wanted=wanted)
    known = tally.columns.pop("duplicate", 0)
    columns = ", ".join(f"{name} {n}" for name, n in sorted(tally.columns.items()))
    _say(f"{tally.columns.total()} taken in now{f' ({columns})' if columns else ''}, {known} were before")
    if tally.passed_over:
        _say(f"{tally.passed_over} are of a type that is none of ours")
    for where, why in tally.failed[:SHOWN]:
        _say(f"{where}: {why}")
    if len(tally.failed) > SHOWN:
        _say(f"and {len(tally.failed) - SHOWN} more that cannot be taken in")
    return 1 if tally.failed else 0


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")


def _broker(settings: Settings) -> KafkaBroker:
    names = settings.topic_names
    return KafkaBroker(
        connection(settings), events=names.events, models=names.models, explain=Complaints.hear(settings).explain
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m switchyard_monitor", description="Read once more.")
    replays = parser.add_subparsers(required=True).add_parser(
        "replay", help="events or dead letters once more; what was taken in is known again and changes nothing"
    )
    whats = replays.add_subparsers(dest="what", required=True)
    events = whats.add_parser("events", help="the topic, by the monitor that runs; starts a stopped partition, too")
    events.add_argument("--partition", type=int, action="append", default=[], help="default: all of them")
    events.add_argument("--offset", type=int, help="default: the first that the log still has")
    letters = whats.add_parser("letters", help="records out of dead letters, by the rules that hold now")
    letters.add_argument("--deployment", metavar="NS/NAME", help="only its records; default: all")
    letters.add_argument("--reason", choices=["unreadable", "invalid", "conflict", "refused"], help="default: any")
    return parser
