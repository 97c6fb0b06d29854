"""Deployments of other kinds than the story's: of classes with scores and segments, of rankings, and a silent one.

Weeks of them, since whether days have become worse takes weeks to tell. Everything is drawn, and the same in every run.
"""

from __future__ import annotations

import random
from typing import Any

from switchyard_contracts.model_route import Route, RouteRole

from switchyard_testkit.monitor_world import MONITORING, NOON, SECOND, batch, classified, decision, outcome
from switchyard_testkit.page_world import PageWorld, rollout_record, verdict

CANCELLATION, SUGGESTIONS, SILENT = "demo/cancellation", "shop/suggestions", "plant/additives"
DAYS, WORSE_FROM = 40, 30
"""The model of classes is worse from that day on."""
A_DAY = 70
CANDIDATE_FROM = 37
DAY = 86_400
CARRIERS = {"AA": 0.9, "UA": 0.84, "DL": 0.62, "one with a long name": 0.8}
"""How often the model knows anything, by carrier."""
LATE, EARLY, ON_TIME = "late", "early", "on time"
STABLE, NEXT = "cancellation-5d21ac", "cancellation-77b0e9"
JUDGED = {**MONITORING["outcome"], "horizon": "2d", "judgedAfter": "6h"}
OF_CLASSES: dict[str, Any] = {
    "prediction": {
        "path": "$.said",
        "task": "classification",
        "classes": [LATE, EARLY, ON_TIME],
        "positive": LATE,
        "score": "$.late",
    },
    "outcome": JUDGED,
    "decision": {"path": "$.buffer"},
    "window": "5m",
    "segments": [
        {"name": "carrier", "path": "$.carrier", "values": list(CARRIERS)},
        {"name": "distance", "path": "$.distance", "edges": [500, 1000]},
    ],
    "alarms": [
        {"name": "worse-days", "metric": "outcome.cusum", "max": 6, "minSamples": 30},
        {"name": "too-often-wrong", "metric": "outcome.accuracy", "min": "60%", "window": "1d"},
    ],
}
OF_RANKING: dict[str, Any] = {
    "prediction": {"path": "$.delay", "task": "ranking"},
    "outcome": {**JUDGED, "affectedBy": "decision"},
    "rows": {"request": "$.rows", "response": "$.answers"},
    "window": "5m",
}
PLACES, SHOWN = 6, 400


def tell_kinds(page: PageWorld) -> None:
    """All of them."""
    page.publish(SILENT)
    routes = [
        Route(revision=STABLE, version="1.4.0", role=RouteRole.STABLE, weight_bp=8000, service="one", port=80),
        Route(revision=NEXT, version="1.5.0", role=RouteRole.CANDIDATE, weight_bp=2000, service="two", port=80),
    ]
    versions = {STABLE: "1.4.0", NEXT: "1.5.0"}
    page.publish(CANCELLATION, OF_CLASSES, stable=STABLE, traffic=2, versions=versions, routes=routes)
    page.publish(SUGGESTIONS, OF_RANKING, stable="suggestions-1", versions={"suggestions-1": "3.0.0"})
    said = [*_of_classes(), *_of_ranking()]
    for at, value in sorted(said, key=lambda one: one[0]):
        page.world.say(value, at=at)
    page.world.now_us += DAYS * DAY * SECOND
    page.world.tick()
    began = NOON.timestamp() + CANDIDATE_FROM * DAY
    page.happen(
        rollout_record(
            "candidate",
            at=NOON.fromtimestamp(began, NOON.tzinfo),
            subject=CANCELLATION,
            rollout=f"{NEXT}.1",
            revision=NEXT,
            version="1.5.0",
            weight_bp=2000,
            step="fifth",
            traffic=2,
            verdicts=[verdict("right", "outcome.accuracy", "NoData", role="decide", samples=40, needed=360)],
        )
    )


def _of_classes() -> list[tuple[float, bytes]]:
    chance = random.Random("classes")
    said: list[tuple[float, bytes]] = []
    for day in range(DAYS):
        for place in range(A_DAY):
            at = day * DAY + (place + 0.5) * DAY / A_DAY
            carrier = chance.choices([*CARRIERS, "VX"], [30, 30, 20, 15, 5])[0]
            distance = chance.choice([None, 180, 320, 640, 720, 1400, 2300])
            sure = chance.betavariate(1.0, 1.2)
            knows = chance.random() < CARRIERS.get(carrier, 0.8) - (0.45 if day >= WORSE_FROM else 0.0)
            late = chance.random() < (sure if knows else 1 - sure)
            happened = LATE if late else chance.choices([EARLY, ON_TIME], [1, 8])[0]
            answer = LATE if sure >= 0.5 else chance.choices([EARLY, ON_TIME], [1, 12])[0]
            name = f"c{day}-{place}"
            new = day >= CANDIDATE_FROM and chance.random() < 0.2
            facts: dict[str, Any] = {
                "at": at,
                "subject": CANCELLATION,
                "revision": NEXT if new else STABLE,
                "role": "candidate" if new else "stable",
                "traffic": 2 if day >= CANDIDATE_FROM else 1,
                "latencyUs": round(4000 + 3000 * chance.random()),
            }
            asked = {"encoding": "json", "value": {"carrier": carrier, "distance": distance}}
            said.append((at, classified(name, answer, sure, request=asked, **facts)))
            if chance.random() < 0.96:
                known = at + chance.expovariate(1 / 3600)
                said.append((known, outcome(name, happened, at=known, subject=CANCELLATION)))
            if chance.random() < 0.3:
                chosen = answer if chance.random() < 0.8 else chance.choice([happened, LATE, ON_TIME])
                said.append((at + 60, decision(name, chosen, at=at + 60, subject=CANCELLATION)))
    return said


def _of_ranking() -> list[tuple[float, bytes]]:
    chance = random.Random("ranking")
    said: list[tuple[float, bytes]] = []
    for number in range(SHOWN):
        at, name = (DAYS - 2) * DAY + number * 300.0, f"r{number}"
        said.append((at, batch(name, list(range(1, PLACES + 1)), at=at, subject=SUGGESTIONS, revision="suggestions-1")))
        for row in range(PLACES):
            clicked = chance.random() < 0.3 / (row + 1)
            facts: dict[str, Any] = {"at": at + 30, "subject": SUGGESTIONS, "row": row, "event_id": f"{name}-{row}"}
            said.append((at + 30, outcome(name, clicked, **facts)))
    return said
