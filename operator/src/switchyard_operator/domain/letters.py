"""A notification in the words of who is told: a document for machines, a sentence with its numbers for a chat."""

from __future__ import annotations

from typing import Any

from switchyard_contracts.base import API_VERSION
from switchyard_contracts.judgement import count, counted
from switchyard_contracts.notifications import Event, Figure, Notification

from switchyard_operator.domain.episodes import FAILED, PASSED, REFUSED, STARTED, STOPPED

SIGNS = {
    Event.PROMOTED: (":white_check_mark:", "was promoted"),
    Event.HELD: (":hourglass:", "is held"),
    Event.ROLLED_BACK: (":rewind:", "was taken back"),
    Event.REFUSED: (":no_entry:", "was refused"),
    Event.COMPARED: (":scales:", "was compared"),
    Event.SHADOW: (":busts_in_silhouette:", "cannot be compared"),
}
SHADOWS = {
    STARTED: "is compared with what serves",
    PASSED: "is within its limits",
    FAILED: "is worse than allowed",
    STOPPED: "is compared no more",
}
"""What became of a shadow; all else is wrong with its pods, or keeps it from being compared."""
COMPARED = "has no ready pod and is compared all the same"
"""Of one that is sent its sample already, as what it leaves unanswered speaks against it."""
MOST_CHARACTERS = 3_000
"""Of a chat's text; Slack cuts what is longer at a place of its own choosing."""


def document(subject: str, notification: Notification) -> dict[str, Any]:
    """The same notification is always the same bytes."""
    namespace, _, name = subject.partition("/")
    said = notification.to_json()
    said.pop("to", None)
    return {
        "apiVersion": API_VERSION,
        "kind": "Notification",
        "deployment": {"namespace": namespace, "name": name},
        **said,
    }


def slack(subject: str, notification: Notification) -> dict[str, Any]:
    """What an incoming webhook of Slack, or of whoever speaks as it does, takes."""
    sign, verb = SIGNS[notification.event]
    who = notification.version or notification.revision
    if notification.shadow:
        begun = notification.against and notification.reason != REFUSED
        verb = SHADOWS.get(notification.reason, COMPARED if begun else verb)
        who = f"the shadow {notification.shadow}{f' ({who})' if who else ''}"
    who = who or "the spec"
    where = f" at step {notification.step} ({notification.weight or '0%'})" if notification.step else ""
    lines = [f"{sign} *{_plain(subject)}*: {_plain(who)} {verb}{_plain(where)}"]
    if notification.message:
        lines.append(_plain(f"{notification.reason}: {notification.message}"))
    if notification.waiting_for and notification.waiting_for != notification.message:
        lines.append(_plain(f"It waits for: {notification.waiting_for}"))
    lines += [f"• {_plain(_sentence(figure))}" for figure in notification.figures]
    if about := notification.rollout or (notification.shadow and notification.revision):
        lines.append(f"`{_plain(about)}`")
    return {"text": "\n".join(lines)[:MOST_CHARACTERS]}


def _sentence(figure: Figure) -> str:
    wanted = f", {count(figure.needed)} more needed" if figure.needed else ""
    words = f": {figure.message}" if figure.message else ""
    things = counted(figure.samples, "pair" if figure.paired else "sample")
    return f"{figure.name} ({figure.role}): {figure.verdict}, {things}{wanted}{words}"


def _plain(text: str) -> str:
    """Slack reads these three, and nothing else, as markup of its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
