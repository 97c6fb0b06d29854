"""The tables of a deployment's page: the API's answers in words and units, a caption over each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from switchyard_contracts.judgement import counted

from switchyard_monitor import answers
from switchyard_monitor.page import units
from switchyard_monitor.pair_answers import JudgedPairs, PairCount

WORDS = (
    "Role",
    "Beside",
    "Decided by",
    "What became of them",
    "Class",
    "What that says",
    "Since",
    "Feature",
    "Part",
)
"""Columns of words, which stand at the left; numbers stand at the right."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns, with a caption; the first cell of a row is its heading."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[str] = WORDS


def who(revision: str, names: Mapping[str, str]) -> str:
    """A revision by its version."""
    """A version may have had two revisions; the end of the revision's name, its hash, tells them apart."""
    version = names.get(revision, "")
    return f"{version} · {revision.rpartition('-')[2]}" if version and version != revision else revision


def counts(lines: Sequence[answers.Count], names: Mapping[str, str]) -> Table:
    """How much was asked of each revision, and how it answered."""
    columns = (
        "Revision",
        "Role",
        "Requests",
        "Errors",
        "Error rate",
        "Predictions",
        "Unreadable",
        "Failed over",
        "Latency p50",
        "p90",
        "p95",
        "p99",
    )
    return Table(
        "Requests, errors and latency, by revision and role",
        columns,
        [
            (
                who(line.revision, names),
                line.role,
                units.count(line.requests),
                units.count(line.errors),
                units.percent(line.errors / line.requests if line.requests else None),
                units.count(line.predictions),
                units.count(line.unreadable),
                units.count(line.failover),
                units.seconds(line.latency_p50),
                units.seconds(line.latency_p90),
                units.seconds(line.latency_p95),
                units.seconds(line.latency_p99),
            )
            for line in lines
        ],
    )


def quality(lines: Sequence[answers.RevisionQuality], names: Mapping[str, str]) -> Table:
    """How right each revision was."""
    classes = any(line.at_age.accuracy is not None for line in lines)
    measure = "Share clicked" if any(line.ranking is not None for line in lines) else "Accuracy"
    held = f"95{units.GAP}% interval of the {measure.lower() if classes else 'RMSE'}"
    of_errors = (measure, held) if classes else ("RMSE", held, "MAE", "Bias")
    own = any(line.at_age.loss_n or line.at_age.loss_none for line in lines)
    of_loss = ("Loss", f"95{units.GAP}% interval of the loss", "Without a loss") if own else ()
    columns = ("Revision", "Role", "Predictions", "Judged", "Coverage", *of_errors, *of_loss)
    columns = (*columns, "Outcome after, p50", "p95")
    rows = []
    for line in lines:
        errors = line.at_age
        if classes:
            ends = between(units.percent, errors.accuracy_lower, errors.accuracy_upper)
            numbers: tuple[str, ...] = (units.percent(errors.accuracy), ends)
        else:
            ends = between(units.number, errors.rmse_lower, errors.rmse_upper)
            numbers = (units.number(errors.rmse), ends, units.number(errors.mae), units.number(errors.bias))
        if own:
            ends = between(units.number, errors.loss_lower, errors.loss_upper)
            numbers = (*numbers, units.number(errors.loss), ends, units.count(errors.loss_none))
        rows.append(
            (
                who(line.revision, names),
                line.role,
                units.count(line.predictions),
                units.count(line.judged),
                units.percent(line.coverage),
                *numbers,
                units.seconds(line.label_delay_p50),
                units.seconds(line.label_delay_p95),
            )
        )
    return Table("Quality against outcomes at age L, by revision and role", columns, rows)


def between(words: Callable[[float | None], str], lower: float | None, upper: float | None) -> str:
    """An interval, which stays in one line; nothing where there is none."""
    return units.NOTHING if lower is None else f"{words(lower)}{units.GAP}to{units.GAP}{words(upper)}"


def agreement(lines: Sequence[answers.RevisionQuality], names: Mapping[str, str]) -> Table:
    """Whether people followed the predictions."""
    rows = [
        (
            who(line.revision, names),
            line.role,
            actor,
            units.count(agreed.n),
            units.percent(agreed.n / line.predictions if line.predictions else None),
            units.percent(agreed.share),
            *(
                (units.seconds(line.decision_delay_p50), units.seconds(line.decision_delay_p95))
                if at == 0
                else ("", "")
            ),
        )
        for line in lines
        if line.agreement.n
        for at, (actor, agreed) in enumerate(_actors(line))
    ]
    columns = (
        "Revision",
        "Role",
        "Decided by",
        "Decisions",
        "Coverage",
        "Followed the prediction",
        "Decided after, p50",
        "p95",
    )
    return Table("Decisions that followed the prediction", columns, rows)


def right(lines: Sequence[answers.RevisionQuality], names: Mapping[str, str], *, word: str) -> Table:
    """Who was `right`, the model or who decided otherwise; or who was `nearer`, of numbers, which never are right."""
    judged = word == "right"
    columns = (
        "Revision",
        "Role",
        "Decided by",
        "Outcome known",
        "Followed it",
        *(["And were right"] if judged else []),
        "Decided otherwise",
        f"Prediction {word}",
        f"Decision {word}",
        f"Prediction {word}, of these",
        f"95{units.GAP}% interval",
    )
    rows = []
    for line in lines:
        if line.right is None:
            continue
        each = sorted(line.right_by_actor.items())
        for actor, found in each if len(each) == 1 else [("all", line.right), *each]:
            if not found.same + found.differ:
                continue
            rows.append(
                (
                    who(line.revision, names),
                    line.role,
                    actor,
                    units.count(found.same + found.differ),
                    units.count(found.same),
                    *([units.percent(found.both / found.same if found.same else None)] if judged else []),
                    units.count(found.differ),
                    units.count(found.model),
                    units.count(found.decider),
                    units.percent(found.share),
                    between(units.percent, found.lower, found.upper),
                )
            )
    caption = (
        f"Who was {word}, the model or who decided, by the latest outcomes; intervals as if decisions were independent"
    )
    return Table(caption, columns, rows)


def _actors(line: answers.RevisionQuality) -> list[tuple[str, answers.Agreement]]:
    """Each kind of actor, and all together where there is more than one."""
    each = sorted(line.agreement_by_actor.items())
    return each if len(each) == 1 else [("all", line.agreement), *each]


def pairs(lines: Sequence[PairCount], names: Mapping[str, str]) -> Table:
    """What two revisions said to the same requests."""
    columns = (
        "Revision",
        "Beside",
        "Generation",
        "Pairs",
        "Coverage",
        "Unanswered",
        "Same answer",
        "Mean difference of the answers",
        "Latency difference, mean",
        "p50",
    )
    return Table(
        "Requests that two revisions answered, newest generation first",
        columns,
        [
            (
                who(line.revision, names),
                who(line.against, names),
                str(line.traffic),
                units.count(line.pairs),
                units.percent(line.coverage),
                units.count(line.unanswered),
                units.percent(line.agreement),
                units.number(line.difference),
                units.seconds(line.latency_difference),
                units.seconds(line.latency_difference_p50),
            )
            for line in sorted(lines, key=lambda line: -line.traffic)
        ],
    )


def pair_quality(lines: Sequence[PairCount], names: Mapping[str, str]) -> Table:
    """Which of the two was right."""

    def both(judged: JudgedPairs) -> tuple[str, str]:
        if judged.accuracy is not None:
            return units.percent(judged.accuracy), units.percent(judged.stable_accuracy)
        return units.number(judged.rmse), units.number(judged.stable_rmse)

    classes = any(line.at_age.accuracy is not None for line in lines)
    measure = "Accuracy" if classes else "RMSE"
    columns = ["Revision", "Beside", "Generation", "Judged pairs", f"{measure} of the revision"]
    columns += [f"{measure} of the one beside", "Loss difference, mean"]
    if classes:
        columns += ["Only the revision right", "Only the one beside right"]
    rows = []
    for line in sorted(lines, key=lambda line: -line.traffic):
        judged = line.at_age
        if judged.n:
            alone = (units.count(judged.only_mirrored_right), units.count(judged.only_stable_right))
            rows.append(
                (
                    who(line.revision, names),
                    who(line.against, names),
                    str(line.traffic),
                    units.count(judged.n),
                    *both(judged),
                    units.number(judged.loss_difference),
                    *(alone if classes else ()),
                )
            )
    return Table("Who was right, on the same requests, at age L", columns, rows)


def events(books: answers.Books) -> Table:
    """What became of every event."""
    rows = []
    for line in books.partitions:
        parts = ", ".join(f"{name} {units.count(value)}" for name, value in sorted(line.columns.items()) if value)
        rows.append(
            (
                str(line.partition),
                units.count(line.read),
                parts or "nothing",
                "yes" if line.closes else "no",
                units.moment(line.watermark),
            )
        )
    columns = ("Partition", "Events read", "What became of them", "The account closes", "Read up to")
    return Table("Events of all deployments, by partition of their topic", columns, rows)


def labels(labels: answers.LabelLedger) -> str:
    """What became of this deployment's decisions and outcomes."""
    if not labels.received:
        return "No decision or outcome has come for this deployment yet."
    words = (
        f"{counted(labels.received, 'decision or outcome', 'decisions and outcomes')} of this deployment came in: "
        f"{counted(labels.joined, 'is', 'are')} joined to a prediction, "
        f"{counted(labels.orphan, 'waits', 'wait')} for one, "
        f"{counted(labels.expired, 'waited', 'waited')} in vain, {counted(labels.deleted, 'was', 'were')} deleted."
    )
    return words + (" The account closes." if labels.closes else " The account does not close: please report this.")
