"""The figures that the story ends with, and the names by which `story.yaml` speaks of them. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from switchyard_contracts.model_deployment import MetricVerdict

from switchyard_demo_model.product.ledger import Statistics
from switchyard_demo_model.story import watched
from switchyard_demo_model.story.expectations import Figure
from switchyard_demo_model.story.plot import Chapter, Ending
from switchyard_demo_model.story.watched import Watched


@dataclass(frozen=True, slots=True)
class Switch:
    """One change of weights: from the operator's write to the last gateway's acknowledgement."""

    step: str
    weight_bp: int
    seconds: float | None  # None: the status never said that it was acknowledged
    routed: bool = True  # False: the step was written down, but no route ever carried it
    mirrored: bool = False  # whether stable's requests were mirrored to the version meanwhile


@dataclass(frozen=True, slots=True)
class Told:
    """How a chapter went."""

    chapter: Chapter
    ending: Ending
    seconds: float
    reason: str = ""
    message: str = ""
    verdict: MetricVerdict | None = None
    peak_bp: int = 0
    given_in_shadow: int | None = None  # answers of it that users were given while it was a shadow
    switches: tuple[Switch, ...] = ()


@dataclass(frozen=True, slots=True)
class Quality:
    """What the monitor knows of one revision in one role."""

    revision: str
    version: str
    predictions: int
    labelled: int
    rmse: float | None
    decisions: int
    agreed: int


@dataclass(frozen=True, slots=True)
class Topic:
    """How often each prediction id stands in the topic of events."""

    primary: Counter[str]  # answers that users were given
    mirrored: Counter[str]  # answers to copies of their requests


@dataclass(frozen=True, slots=True)
class Account:
    """The shippers' own account, all gateway pods together."""

    served: int
    delivered: int
    open: int  # neither delivered nor named as dropped, plus what was dropped


@dataclass(frozen=True, slots=True)
class Serving:
    """What the route says at the end."""

    version: str
    weight_bp: int


@dataclass(frozen=True, slots=True)
class Read:
    """Everything that was read at the end."""

    product: Statistics
    served_ids: frozenset[str]
    topic: Topic
    quality: Sequence[Quality]
    account: Account
    serving: Serving
    told: Sequence[Told]
    watched: Watched | None = None  # None: the fourth chapter was not told to the leap


@dataclass(frozen=True, slots=True)
class PerVersion:
    """A version's quality, all its roles together."""

    predictions: int
    labelled: int
    rmse: float | None
    agreement: float | None


def per_version(quality: Iterable[Quality]) -> dict[str, PerVersion]:
    """A version served as candidate and then as stable; its errors are one."""
    held: dict[str, list[Quality]] = {}
    for line in quality:
        held.setdefault(line.version, []).append(line)
    return {version: _together(lines) for version, lines in sorted(held.items())}


def _together(lines: Sequence[Quality]) -> PerVersion:
    judged = [line for line in lines if line.rmse is not None and line.labelled]
    labelled = sum(line.labelled for line in judged)
    squares = math.fsum(line.labelled * line.rmse**2 for line in judged if line.rmse is not None)
    decisions = sum(line.decisions for line in lines)
    return PerVersion(
        predictions=sum(line.predictions for line in lines),
        labelled=sum(line.labelled for line in lines),
        rmse=math.sqrt(squares / labelled) if labelled else None,
        agreement=sum(line.agreed for line in lines) / decisions if decisions else None,
    )


def figures(read: Read) -> dict[str, Figure]:
    """By name. What could not be read has no name here, and breaks the promises that ask for it."""
    product, versions = read.product, per_version(read.quality)
    predictions = sum(line.predictions for line in versions.values())
    found: dict[str, Figure] = {
        "requests.asked": product.asked,
        "requests.answered": product.answered,
        "requests.failed": product.failed.get("predict", 0) + product.in_flight,
        "requests.behind": round(product.behind, 3),
        "feedback.failed": product.failed.get("decisions", 0) + product.failed.get("outcomes", 0),
        "feedback.decisions": product.decisions,
        "feedback.outcomes": product.outcomes,
        "events.delivered": sum(read.topic.primary.values()),
        "events.missing": len(read.served_ids - read.topic.primary.keys()),
        "events.unasked": len(read.topic.primary.keys() - read.served_ids),
        "events.twice": sum(count > 1 for count in read.topic.primary.values()),
        "mirrored.delivered": sum(read.topic.mirrored.values()),
        "mirrored.alone": len(read.topic.mirrored.keys() - read.topic.primary.keys()),
        "mirrored.twice": sum(count > 1 for count in read.topic.mirrored.values()),
        "account.served": read.account.served,
        "account.delivered": read.account.delivered,
        "account.open": read.account.open,
        "serving.version": read.serving.version,
        "serving.weight": read.serving.weight_bp / 100,
    }
    if predictions:
        found["join.coverage"] = sum(line.labelled for line in versions.values()) / predictions
    for version, line in versions.items():
        if line.rmse is not None:
            found[f"rmse.{version}"] = line.rmse
            if seen := product.rmse.get(version):
                found[f"agreement.{version}"] = abs(line.rmse - seen) / seen
    for told in read.told:
        found |= _of_chapter(told)
    switches = [switch.seconds for told in read.told for switch in told.switches]
    if switches and None not in switches:
        found["switch.slowest"] = max(seconds for seconds in switches if seconds is not None)
    return found | (watched.figures(read.watched) if read.watched else {})


def _of_chapter(told: Told) -> dict[str, Figure]:
    name = told.chapter.ordinal
    found: dict[str, Figure] = {
        f"{name}.outcome": told.ending.value,
        f"{name}.seconds": round(told.seconds, 1),
        f"{name}.peak": told.peak_bp / 100,
    }
    if told.verdict is not None:
        found |= {
            f"{name}.verdict": told.verdict.verdict,
            f"{name}.evidence": "pairs" if told.verdict.paired else "split",
            f"{name}.samples": told.verdict.samples,
        }
    if told.switches:
        found |= {
            f"{name}.path": " ".join(f"{switch.weight_bp / 100:g}" for switch in told.switches if switch.routed),
            f"{name}.mirroredSteps": sum(switch.mirrored for switch in told.switches),
        }
    if told.given_in_shadow is not None:
        found[f"{name}.givenInShadow"] = told.given_in_shadow
    return found


def tables(read: Read) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """The tables for people: title, columns, rows."""
    known, product = figures(read), read.product
    return [
        (
            "Traffic",
            ("what", "how many"),
            [
                ("requests answered", f"{product.answered:,}"),
                ("requests failed", f"{known['requests.failed']:,}"),
                ("latency p50 / p99", f"{product.p50 * 1000:.1f} ms / {product.p99 * 1000:.1f} ms"),
                ("primary events in the topic", f"{known['events.delivered']:,}"),
                ("answers without an event", f"{known['events.missing']:,}"),
                ("mirrored answers in the topic", f"{known['mirrored.delivered']:,}"),
                ("shippers' account: served / delivered", f"{read.account.served:,} / {read.account.delivered:,}"),
                ("decisions / outcomes sent", f"{product.decisions:,} / {product.outcomes:,}"),
                ("predictions joined to an outcome", share(known.get("join.coverage"))),
            ],
        ),
        (
            "Versions, as the monitor judged them",
            ("version", "predictions", "with outcome", "RMSE", "product's own RMSE", "dispatcher agreed"),
            [
                (
                    version,
                    f"{line.predictions:,}",
                    f"{line.labelled:,}",
                    minutes(line.rmse),
                    minutes(product.rmse.get(version)),
                    share(line.agreement),
                )
                for version, line in per_version(read.quality).items()
            ],
        ),
        (
            "Decisions",
            ("version", "outcome", "verdict", "reason", "judged", "RMSE / against", "bound", "most traffic", "took"),
            [_decision(told) for told in read.told],
        ),
        (
            "Changes of weights",
            ("version", "step", "weight", "acknowledged by every gateway after"),
            [
                (
                    told.chapter.version,
                    switch.step,
                    f"{switch.weight_bp / 100:g} %",
                    "not known" if switch.seconds is None else f"{switch.seconds:.2f} s",
                )
                for told in read.told
                for switch in told.switches
            ],
        ),
        *(watched.tables(read.watched) if read.watched else []),
    ]


def _decision(told: Told) -> tuple[str, ...]:
    verdict = told.verdict
    return (
        told.chapter.version,
        told.ending.value,
        verdict.verdict if verdict else "–",
        told.reason or "–",
        f"{verdict.samples:,}{' pairs' if verdict.paired else ''}" if verdict else "–",
        f"{minutes(verdict.value)} / {minutes(verdict.against)}" if verdict else "–",
        f"{verdict.bound:,.3g}" if verdict and verdict.bound is not None else "–",
        f"{told.peak_bp / 100:g} %",
        f"{told.seconds:.0f} s",
    )


def minutes(value: float | None) -> str:
    """An error in minutes of delay."""
    return "–" if value is None else f"{value:,.2f} min"


def share(value: Figure | None) -> str:
    """A share as a percentage."""
    return f"{value:.1%}" if isinstance(value, float | int) else "–"
