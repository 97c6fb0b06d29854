"""What each part tells Prometheus of its own process, under the names that everybody's dashboards know.

`process_*`, `python_info` and `python_gc_*` come from the client library, `switchyard_build_info` says which part and
version it is. Whoever imports it has `switchyard-contracts[metrics]`.
"""

from __future__ import annotations

from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)


def own(registry: CollectorRegistry, *, part: str, distribution: str) -> CollectorRegistry:
    """Add the process's own figures to a registry.

    Args:
        registry: what the part's /metrics shows.
        part: the name that `switchyard_build_info` gives it, such as `control`.
        distribution: the package whose version it is.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each counter, that nobody asks for
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    build = Info("switchyard_build", "Which part of Switchyard this is, and its version.", registry=registry)
    build.info({"part": part, "version": version(distribution)})
    return registry
