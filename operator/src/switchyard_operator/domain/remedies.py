"""Why pods do not become ready where waiting alone does not help, by the pods' own words, and what does help."""

from __future__ import annotations

from switchyard_operator.domain.pods import PULL

FAILINGS = (
    ("ImagePullFailing", PULL, "Check the image's name, and that the nodes may pull it"),
    ("CrashLooping", ("CrashLoopBackOff", "exit code"), "Read what it said last: kubectl logs --previous"),
    ("Unschedulable", ("Unschedulable",), "Give the cluster room, or ask for less in spec.serving.resources"),
    ("PodsRefused", ("FailedCreate",), "Mend the quota or the policy that is named"),
)
"""Each: its name, the signs in the words, and the remedy."""


def failing(words: str) -> str:
    """The name of what keeps pods from becoming ready, where they say it; else the empty string."""
    return next((reason for reason, signs, _ in FAILINGS if any(sign in words for sign in signs)), "")


def remedy(words: str) -> str:
    """What helps against it."""
    found = failing(words)
    return next((remedy for reason, _, remedy in FAILINGS if reason == found), "See kubectl describe pod")
