"""Scores: the probability that a classification gives, as a whole number, so that what is made of it adds up.

A score is a number of parts, 2²⁰ to one. Its bin and its loss are found by shifts and products of whole numbers, and by
no function whose last digit might be another on another machine: what is taken out again is what was put in.
"""

from __future__ import annotations

from functools import lru_cache

from switchyard_monitor.domain.buckets import bucket, low

ONE = 1 << 20
"""Parts of the probability 1."""
BINS = 256
TENTHS = 10
SLACK = 1e-6
"""So far beyond 0 or 1 a sum of probabilities may have been rounded."""
_FINEST, _OCTAVE = 8, 16
_DIGITS = 20


def parts(score: float | None) -> int | None:
    """A probability in parts; None where it is none."""
    if score is None or not -SLACK <= score <= 1.0 + SLACK:
        return None
    return max(0, min(ONE, round(score * ONE)))


def bin_of(score: int) -> int:
    """The bin of a score, rising with it from 0 to 255.

    They are laid out from both ends, 2⁻¹² wide at first and then 16 to an octave: what is told apart of a rare class
    lies near 0, and of a common one near 1.
    """
    if score < ONE // 2:
        return bucket(score >> _FINEST, _OCTAVE)
    return BINS - 1 - bucket(max(0, ONE - score - 1) >> _FINEST, _OCTAVE)


def tenth(score: int) -> int:
    """Which tenth of the scale a score lies in; 1 lies in the last."""
    return min(TENTHS - 1, score * TENTHS // ONE)


def edge(index: int) -> float:
    """Where a bin begins, as a probability; that of the bin after the last is 1."""
    if index <= BINS // 2:
        return (low(index, _OCTAVE) << _FINEST) / ONE
    return 1.0 - (low(BINS - index, _OCTAVE) << _FINEST) / ONE


@lru_cache(maxsize=1 << 16)
def bits(score: int) -> int:
    """−log₂ of a probability, in parts of 2⁻²⁰; of less than one part as of one, so 20 at most.

    By repeated squaring: a square doubles the logarithm, and whether it passes 2 is the next digit.
    """
    score = max(1, score)
    whole = score.bit_length() - 1
    mantissa = score << (62 - whole)
    found = whole
    for _ in range(_DIGITS):
        mantissa = (mantissa * mantissa) >> 62
        found <<= 1
        if mantissa >> 63:
            mantissa >>= 1
            found |= 1
    return (_DIGITS << _DIGITS) - found
