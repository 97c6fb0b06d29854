"""Whoever the offenders are, they are found, each alone, and everybody else is let in."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from switchyard_gateway.control.domain.trial import Trial

KEYS = [f"ns/m{number}" for number in range(40)]


def resolve(keys, offenders, words):
    """Try until all is said; who was let in, who was found, and how many attempts were refused."""
    trial, wanted, found, taken, refusals = Trial(), [*keys], {}, set(), 0
    while wanted:
        group = trial.next(wanted)
        bad = offenders & {*group}
        if not bad:
            taken |= {*group}
        else:
            refusals += 1
            offender = trial.refused(group, words(bad))
            if offender:
                found[offender] = words(bad)
        wanted = [key for key in wanted if key not in taken and key not in found]
        assert refusals < 1_000, "no end"
    return taken, found, refusals


@given(st.sets(st.sampled_from(KEYS)))
def test_a_speechless_refusal_is_halved_until_the_offenders_stand_alone(offenders):
    taken, found, refusals = resolve(KEYS, offenders, lambda _: "no")
    assert taken == {*KEYS} - offenders
    assert found.keys() == offenders
    assert refusals <= 2 * len(offenders) * (1 + math.log2(len(KEYS)))


@given(st.sets(st.sampled_from(KEYS), min_size=1, max_size=3))
def test_words_that_name_the_offender_are_only_a_hint(offenders):
    taken, found, _ = resolve(KEYS, offenders, lambda bad: f"cannot have {min(bad)}")
    assert (taken, found.keys()) == ({*KEYS} - offenders, offenders)


def test_a_named_offender_is_found_with_two_refusals():
    _, found, refusals = resolve(KEYS, {"ns/m7"}, lambda _: "virtual host ns/m7: bad")
    assert (found.keys(), refusals) == ({"ns/m7"}, 2)


def test_words_that_wrongly_name_another_do_not_condemn_it():
    taken, found, _ = resolve(KEYS, {"ns/m8"}, lambda _: "it is ns/m9")
    assert found.keys() == {"ns/m8"}
    assert "ns/m9" in taken


def test_what_is_no_longer_wanted_is_not_tried_again():
    trial = Trial()
    trial.refused(("a", "b", "c", "d"), "no")
    assert trial.next(["c", "d"]) == ("c", "d")
    assert trial.next(["e"]) == ("e",)
