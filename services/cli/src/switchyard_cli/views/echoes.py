"""Echoes: a status says a metric's sentence again in the rollout's message, in what it waits for, and in a condition.

A view tells it once, beside the metric or the gate that it is of; elsewhere only their names are left of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from switchyard_contracts.gates import GateVerdict
from switchyard_contracts.model_deployment import MetricVerdict


@dataclass(frozen=True, slots=True)
class Told:
    """What a view tells in a place of its own."""

    sentences: tuple[tuple[str, str], ...] = ()
    """Whose it is, and the sentence; the longest first, for one may end as another does."""

    @classmethod
    def of(cls, *, metrics: Iterable[MetricVerdict], gates: Iterable[GateVerdict] = ()) -> Self:
        """The sentences of these gates and metrics, which are shown in this order."""
        told = [(f"gate {item.name}", item.message) for item in gates]
        told += [(item.name, item.message) for item in metrics]
        return cls(tuple(sorted((one for one in told if one[1]), key=lambda one: -len(one[1]))))

    def shortened(self, text: str) -> str:
        """What is left of a text: of `errors: 3 % of 40 requests failed; outcome: …` it is `errors; outcome`."""
        for name, sentence in self.sentences:
            if text == sentence:
                return name
            text = re.sub(rf": {re.escape(sentence)}(?=$|; | \()", "", text)
        return text

    def repeats(self, text: str) -> bool:
        """Whether nothing is left of it but names."""
        return {name for name, _ in self.sentences}.issuperset(self.shortened(text).split("; "))

    def own(self, name: str, sentence: str) -> str:
        """A metric's or gate's sentence in its own place; where another has told it before, whose it is."""
        first = next((other for other, text in self.sentences if text == sentence), name)
        return sentence if first == name else f"the same as {first}"
