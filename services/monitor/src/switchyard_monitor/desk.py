"""The desk: what the API's answers are made of, and who may ask about which deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Path, Query, Request

from switchyard_monitor import segment_answers
from switchyard_monitor.auth import Finder, Token
from switchyard_monitor.baselines import Baselines
from switchyard_monitor.change_answers import ByDay
from switchyard_monitor.domain import cusum
from switchyard_monitor.domain.entries import Cell
from switchyard_monitor.domain.watermark import watermark
from switchyard_monitor.health import Health
from switchyard_monitor.models import Models
from switchyard_monitor.ports import SaidAlarms, Store
from switchyard_monitor.rosters import Rosters

DEPLOYMENT = "/v1/deployments/{namespace}/{name}"
Namespace = Annotated[str, Path(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Name = Annotated[str, Path(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")]
Revision = Annotated[str, Query(min_length=1, max_length=63)]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the answers are made of."""

    store: Store
    models: Models
    tokens: Finder
    baselines: Baselines
    alarms: SaidAlarms
    rosters: Rosters
    health: Health

    def cells(self, subject: str, revision: str | None, traffic: str | None) -> list[Cell]:
        """All windows of the arms asked for, added up."""
        return self.store.totals(self._arms(subject, revision, traffic))

    def days(self, subject: str, revision: str | None, traffic: str | None) -> ByDay:
        """What is kept by day of the arms asked for."""
        arms = self._arms(subject, revision, traffic)
        # The watermark first: what is committed while we look can then only be newer than it says.
        mark = watermark(self.store.positions())
        return ByDay(
            self.store.day_totals(arms),
            self.store.days(arms, names=cusum.NAMES),
            mark,
            self.models.coverage(subject),
            self.models.rule(subject),
        )

    def segments(self, subject: str, revision: str | None, traffic: str | None) -> list[Cell]:
        """The days of the arms asked for, by segments of X."""
        return self.store.days(self._arms(subject, revision, traffic), names=segment_answers.NAMES)

    def _arms(self, subject: str, revision: str | None, traffic: str | None) -> list[int]:
        generations = {int(number) for number in traffic.split(",")} if traffic else None
        return [
            number
            for number, arm in self.store.arms(subject).items()
            if (revision is None or arm.revision == revision) and (generations is None or arm.traffic in generations)
        ]


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


AtDesk = Annotated[Desk, Depends(_desk)]


def _token(request: Request, desk: AtDesk) -> Token:
    scheme, _, presented = request.headers.get("authorization", "").partition(" ")
    token = desk.tokens.find(presented.strip()) if scheme.lower() == "bearer" else None
    if token is None:
        raise HTTPException(401, "send a known token as `Authorization: Bearer …`", {"WWW-Authenticate": "Bearer"})
    return token


Caller = Annotated[Token, Depends(_token)]


def _subject(desk: AtDesk, token: Caller, namespace: Namespace, name: Name) -> str:
    subject = f"{namespace}/{name}"
    if not token.may(subject):
        raise HTTPException(403, f"the token {token.name!r} may not ask about {subject}")
    if desk.models.record(subject) is None and subject not in desk.store.deployments():
        raise HTTPException(404, f"no deployment {subject} is known to the monitor")
    return subject


Subject = Annotated[str, Depends(_subject)]
