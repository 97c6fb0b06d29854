"""The cluster's side of a plan: read what the forecast needs, let the API server check, judge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from switchyard_contracts import acceptance
from switchyard_contracts.model_deployment import ModelDeploymentSpec

from switchyard_cli import facts
from switchyard_cli.documents import Document
from switchyard_cli.errors import Forbidden, Unfit
from switchyard_cli.forecast import Forecast, Situation, forecast
from switchyard_cli.ports import Cluster


def namespace_of(document: Document, *, asked: str | None) -> str | None:
    """The file's own namespace, or the one that was asked for; both must not differ."""
    own = (document.body.get("metadata") or {}).get("namespace")
    if own and asked and own != asked:
        raise Unfit(
            f"{document.file}: {document.title} says namespace {own!r}, -n says {asked!r}; leave one of them out"
        )
    return own or asked


@dataclass(frozen=True, slots=True)
class Prospect:
    """A document's forecast, with the spec it was made for."""

    forecast: Forecast
    spec: ModelDeploymentSpec
    unchecked: str = ""
    """Why the API server has not checked it."""


def plan(document: Document, cluster: Cluster, *, now: datetime) -> Prospect:
    """What the document would do."""
    spec = acceptance.read(document.body["spec"])
    live = cluster.deployment(document.name)
    objection = unchecked = ""
    try:
        objection = cluster.rehearse(document.body, live=live)
    except Forbidden as error:
        unchecked = str(error)
    sources = spec.model.config.env_from if spec.model.config else []
    situation = Situation(
        now=now,
        live=facts.deployment(live) if live else None,
        revisions=facts.revisions(cluster.revisions(document.name)),
        config={source.config_map: cluster.config_map(source.config_map) for source in sources if source.config_map},
        objection=objection,
    )
    return Prospect(forecast(document.name, spec, situation), spec, unchecked)
