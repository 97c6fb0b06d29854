"""The schema of the chart's values: strict, so that a misspelt value is an error and never a silence.

Descriptions come from values.yaml, where each value is explained for people anyway.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from switchyard_contracts.freezes import DAYS, MOMENT
from switchyard_contracts.notifications import URL_OR_NONE, Event
from switchyard_contracts.promql import ADDRESS
from switchyard_contracts.quantities import DURATION_PATTERN

JSON = dict[str, Any]
VALUES = Path(__file__).resolve().parents[3] / "charts" / "switchyard" / "values.yaml"
QUANTITY = r"^[0-9]{1,15}(\.[0-9]{1,6})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"
NAME = r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"
LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"


def text(pattern: str = "", **more: Any) -> JSON:
    """A string; with a pattern, never another."""
    return {"type": "string", **({"pattern": pattern} if pattern else {}), **more}


def one_of(*values: str) -> JSON:
    """One of these words."""
    return {"type": "string", "enum": list(values)}


def whole(least: int, most: int) -> JSON:
    """A whole number within bounds."""
    return {"type": "integer", "minimum": least, "maximum": most}


def group(required: tuple[str, ...] = (), **properties: Any) -> JSON:
    """Named values, and no others."""
    found: JSON = {"type": "object", "additionalProperties": False, "properties": properties}
    return found | ({"required": list(required)} if required else {})


def many(items: JSON, **more: Any) -> JSON:
    """A list."""
    return {"type": "array", "items": items, **more}


def ref(name: str) -> JSON:
    """One of the shapes that several values share."""
    return {"$ref": f"#/definitions/{name}"}


SWITCH: JSON = {"type": "boolean"}
SECRET = text(f"^$|{NAME}")
"""The name of a Secret, or none."""
LABELS: JSON = {"type": "object", "additionalProperties": text(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")}
"""Labels of an object."""
PEERS = many({"type": "object"})
PERSISTENCE = group(enabled=SWITCH, size=text(QUANTITY), storageClass=text())
TOKENS = many(
    group(
        ("name", "token", "deployments"),
        name=text(r"^[A-Za-z0-9._-]{1,63}$"),
        token=text(r"^\S{16,}$"),
        deployments=many(text(r"^(\*|[a-z0-9-]+/(\*|[a-z0-9.-]+))$"), minItems=1),
    )
)
RECEIVERS = many(
    group(
        ("name",),
        name=text(LABEL),
        deployments=many(text(r"^(\*|[a-z0-9-]+/(\*|[a-z0-9.-]+))$"), minItems=1),
        on=many(one_of(*Event), minItems=1),
        webhook=group(
            url=text(URL_OR_NONE), secret=SECRET, format=one_of("json", "slack"), timeout=text(DURATION_PATTERN)
        ),
        kafka=group(topic=text(r"^[A-Za-z0-9._-]{1,249}$")),
    ),
    maxItems=16,
)
FREEZES = many(
    group(
        ("from", "to"),
        **{"from": text(MOMENT)},
        to=text(MOMENT),
        timeZone=text(r"^[A-Za-z][A-Za-z0-9_+/-]*$"),
        days=many(one_of(*DAYS)),
        reason=text(maxLength=256),
    ),
    maxItems=32,
)
DOORS: JSON = {"type": "object", "additionalProperties": False, "properties": {"from": ref("doors")}}
OPEN: JSON = {"type": "object"}
"""What Kubernetes itself checks."""

DEFS: JSON = {
    "image": group(repository=text(r"^[a-z0-9][a-z0-9._:/-]*$"), tag=text(), digest=text(r"^$|^sha256:[a-f0-9]{64}$")),
    "resources": group(
        requests={"type": "object", "additionalProperties": text(QUANTITY)},
        limits={"type": "object", "additionalProperties": text(QUANTITY)},
    ),
    "doors": {"description": "everyone, or a list of NetworkPolicy peers", "oneOf": [{"const": "everyone"}, PEERS]},
}


def env(prefix: str) -> JSON:
    """Variables on top; each part reads those with its own prefix."""
    value = {"type": ["string", "number", "boolean"]}
    return {
        "type": "object",
        "propertyNames": {"pattern": f"^{prefix}[A-Z0-9_]+$"},
        "additionalProperties": value,
    }


SHAPE = group(
    crds=group(install=SWITCH),
    watchNamespaces=many(text(LABEL), uniqueItems=True),
    imagePullSecrets=many(group(("name",), name=text(NAME))),
    logFormat=one_of("json", "text", "auto"),
    operator=group(
        image=ref("image"),
        replicas=whole(0, 10),
        resync=text(DURATION_PATTERN),
        webhookKeySecret=SECRET,
        autoscalers=SWITCH,
        prometheus=group(
            url=text(f"^({ADDRESS})?$"),
            existingSecret=SECRET,
            caSecret=SECRET,
            timeout=text(r"^([1-9]|[1-5][0-9]|60)s$"),
        ),
        resources=ref("resources"),
        env=env("OPERATOR_"),
    ),
    notifications=group(receivers=RECEIVERS, heldAfter=text(DURATION_PATTERN), giveUpAfter=text(DURATION_PATTERN)),
    freezes=FREEZES,
    gateway=group(
        envoy=group(image=ref("image"), concurrency=whole(1, 256), resources=ref("resources"), env=env("ENVOY_")),
        image=ref("image"),
        replicas=whole(1, 100),
        tls=group(existingSecret=SECRET),
        domain=text(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$", maxLength=120),
        capture=group(enabled=SWITCH, maxBodyBytes=whole(0, 400_000)),
        service=group(type=one_of("ClusterIP", "NodePort", "LoadBalancer"), port=whole(1, 65535)),
        control=group(resources=ref("resources"), env=env("CONTROL_")),
        shipper=group(resources=ref("resources"), spoolMaxBytes=whole(16_777_216, 2**50), env=env("SHIPPER_")),
        persistence=PERSISTENCE,
        terminationGracePeriodSeconds=whole(1, 86_400),
    ),
    feedback=group(
        image=ref("image"),
        replicas=whole(0, 100),
        resources=ref("resources"),
        env=env("FEEDBACK_"),
        tls=group(existingSecret=SECRET, caSecret=SECRET),
        existingTokensSecret=SECRET,
        tokens=TOKENS,
        monitorToken=text(r"^$|^\S{16,}$"),
        existingMonitorTokenSecret=SECRET,
    ),
    monitor=group(
        image=ref("image"),
        resources=ref("resources"),
        env=env("MONITOR_"),
        persistence=PERSISTENCE,
        replicas=whole(1, 100),
        database=group(
            url=text(r"^$|^postgres(ql)?://\S+$"), existingSecret=SECRET, caSecret=SECRET, maxBytes=whole(0, 2**53)
        ),
        retention=group(
            rows=text(DURATION_PATTERN),
            margin=text(DURATION_PATTERN),
            windows=text(DURATION_PATTERN),
            hourly=text(DURATION_PATTERN),
            daily=text(DURATION_PATTERN),
        ),
        existingTokensSecret=SECRET,
        tokens=TOKENS,
        operatorToken=text(r"^$|^\S{16,}$"),
        existingOperatorTokenSecret=SECRET,
    ),
    monitoring=group(
        podMonitors=group(enabled=SWITCH, interval=text(DURATION_PATTERN), labels=LABELS),
        rules=group(
            enabled=SWITCH,
            labels=LABELS,
            runbookUrl=text(r"^(https?://[^\s#]+)?$"),
            heldAfter=text(DURATION_PATTERN),
        ),
        dashboards=group(
            enabled=SWITCH, namespace=text(f"^$|{LABEL}"), labels=LABELS | {"minProperties": 1}, folder=text(r"\S")
        ),
    ),
    kafka=group(
        bootstrapServers=text(r"^$|^[^,:\s]+:[0-9]{1,5}(,[^,:\s]+:[0-9]{1,5})*$"),
        security=group(
            protocol=one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
            mechanism=one_of("", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
            existingSecret=SECRET,
            caSecret=SECRET,
            certificateSecret=SECRET,
        ),
        embedded=group(
            enabled=SWITCH,
            image=ref("image"),
            heap=text(r"^[0-9]{1,6}[mg]$"),
            resources=ref("resources"),
            persistence=PERSISTENCE,
            env=env("KAFKA_"),
        ),
        topics=group(
            prefix=text(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$"),
            create=SWITCH,
            partitions=whole(1, 1000),
            replicationFactor=whole(1, 10),
            retention=text(DURATION_PATTERN),
        ),
    ),
    networkPolicy=group(
        enabled=SWITCH,
        gateway=DOORS,
        feedback=DOORS,
        monitor=DOORS,
        metrics=DOORS,
        kafka=DOORS,
        dns=group(to=PEERS),
        apiServer=group(to=PEERS, ports=many(whole(1, 65535), minItems=1)),
        webhooks=group(to=PEERS, ports=many(whole(1, 65535), minItems=1)),
        notifications=group(to=PEERS, ports=many(whole(1, 65535), minItems=1)),
        prometheus=group(to=PEERS, ports=many(whole(1, 65535))),
        database=group(to=PEERS, ports=many(whole(1, 65535))),
    ),
    topologySpread=group(whenUnsatisfiable=one_of("ScheduleAnyway", "DoNotSchedule")),
    podSecurityContext=OPEN,
    securityContext=OPEN,
)


def schema() -> JSON:
    """The whole; `global` is Helm's own."""
    found = described(SHAPE, comments(VALUES.read_text(encoding="utf-8")), ())
    found["properties"]["global"] = OPEN
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart switchyard",
        **found,
        "definitions": DEFS,
    }


def described(shape: JSON, said: dict[tuple[str, ...], str], at: tuple[str, ...]) -> JSON:
    """The same shape with what values.yaml says of each value."""
    found = dict(shape)
    if "properties" in shape:
        found["properties"] = {name: described(inner, said, (*at, name)) for name, inner in shape["properties"].items()}
    if at in said and "$ref" not in shape:
        found["description"] = said[at]
    return found


def comments(values: str) -> dict[tuple[str, ...], str]:
    """By path, the `# -- …` that stands above a key, on as many lines as it takes."""
    found: dict[tuple[str, ...], str] = {}
    path: list[tuple[int, str]] = []
    said: list[str] = []
    for line in values.splitlines():
        if match := re.match(r"\s*# (-- )?(.*)", line):
            said = [match[2]] if match[1] else [*said, match[2]] if said else []
            continue
        if key := re.match(r"(\s*)([A-Za-z]+):", line):
            depth = len(key[1])
            path = [*(part for part in path if part[0] < depth), (depth, key[2])]
            if said:
                found[tuple(name for _, name in path)] = " ".join(said)
        said = []
    return found
