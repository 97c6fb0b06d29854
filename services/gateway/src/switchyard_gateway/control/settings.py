"""Control's settings: environment variables that begin with CONTROL_, read once. An unknown one is an error.

What the chart must give the container `control` (a native sidecar: init container with restartPolicy Always):

- environment: `CONTROL_NODE` (the pod's name, by the downward API); optional `CONTROL_DOMAIN` (hosts are
  `<name>.<namespace>.<domain>`; empty: paths only), `CONTROL_PREVIEW` (`true|false`: whether requests may pick a
  revision), and the rest below. `enableServiceLinks: false` on the pod.
- command `python -m switchyard_gateway.control`; port 8081 (`/routes /counters /healthz /readyz /metrics`, and Envoy's
  own at `/metrics/envoy`).
- volumes: `/run/switchyard` (emptyDir, shared with Envoy: control makes `xds.sock`, Envoy makes `admin.sock`) and
  `/var/spool/switchyard` (the gateway's PersistentVolumeClaim: `snapshot.json`). Nothing else is written.
- RBAC, cluster-wide or in each of `CONTROL_WATCH_NAMESPACES`: `list, watch` on `modelroutes.switchyard.dev` and on
  `endpointslices.discovery.k8s.io`.
- probes: startup and liveness `GET /healthz` (a native sidecar with a *startup* probe must use it, or Envoy would never
  be started). Neither control's readiness nor Envoy's asks here: a gateway serves on while control starts again.
  `GET /readyz` is true while an Envoy is connected that has acknowledged a first whole snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from switchyard_contracts.quantities import Duration, parse_duration

from switchyard_gateway.control.domain.translation import MIRROR_PORT
from switchyard_gateway.control.errors import SettingsError

PREFIX = "CONTROL_"


class Settings(BaseModel):
    """Everything that may differ between installations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: Annotated[str, Field(min_length=1, max_length=253)]
    """This gateway pod's name, as `/routes` shows it."""
    domain: Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$", max_length=120)] = ""
    watch_namespaces: str = ""
    """Comma-separated: look for ModelRoutes and their pods in these namespaces only; empty: in all."""
    preview: bool = True
    address: str = "0.0.0.0"
    port: Annotated[int, Field(ge=0, le=65535)] = 8081
    mirror_port: Annotated[int, Field(ge=1, le=65535)] = MIRROR_PORT
    """Envoy's mirror listener on loopback: ENVOY_MIRROR_PORT of the container beside."""
    xds_socket: Path = Path("/run/switchyard/xds.sock")
    admin_socket: Path = Path("/run/switchyard/admin.sock")
    spool: Path = Path("/var/spool/switchyard")
    kubeconfig: Path | None = None
    """Absent: the pod's own service account."""
    stale_after: Duration = parse_duration("5s")
    """How long to wait for the API server before the volume's snapshot is served, marked stale."""
    linger: Duration = parse_duration("60s")
    """How long a cluster stays after the last route that used it; requests may still be on their way to it."""
    watch: Duration = parse_duration("30s")
    """How long one watch lasts; a connection that died silently is noticed 5 s after that."""
    capture_off_at: Annotated[float, Field(gt=0, le=1)] = 0.9
    """The share of the volume at which exchanges are no longer recorded."""
    capture_on_at: Annotated[float, Field(gt=0, le=1)] = 0.8
    capture_off_below: Annotated[int, Field(ge=0)] = 2 * 1024**3
    """Bytes: while more than this is left, exchanges are recorded however full the volume is."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """auto: text at a terminal, JSON lines elsewhere."""

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces to watch; the empty name stands for all."""
        return tuple(part.strip() for part in self.watch_namespaces.split(",") if part.strip()) or ("",)

    @property
    def snapshot(self) -> Path:
        """Where the last acknowledged snapshot is kept."""
        return self.spool / "snapshot.json"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """A misspelt CONTROL_ variable is an error, so that chart and code cannot drift apart."""
        mine = {key.removeprefix(PREFIX).lower(): value for key, value in environ.items() if key.startswith(PREFIX)}
        try:
            return cls.model_validate_strings(mine)
        except ValidationError as wrong:
            said = "; ".join(
                f"{PREFIX}{'_'.join(str(part) for part in each['loc']).upper()}: {each['msg']}"
                for each in wrong.errors(include_url=False, include_input=False)
            )
            raise SettingsError(said) from wrong
