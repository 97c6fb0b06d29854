"""Start Envoy: put away what the last one left, write its configuration, become it.

Envoy takes this process over, so signals reach it directly. Settings are ENVOY_… variables (`bootstrap.Settings`).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

from bootstrap import Settings, bootstrap, certificate

WORLD_CANNOT = 0o007


def set_aside(active: Path, *, now_ns: int) -> None:
    """Rename a left-over log: a killed Envoy may have torn its last line, and nothing may be appended to that."""
    left_over = active / "exchanges.log"
    if left_over.exists():
        left_over.rename(active / f"left-over-{now_ns:019d}.log")


def for_capture(settings: Settings, answers: Path) -> dict[str, str]:
    """What capture.lua reads of its environment."""
    return {
        "SWITCHYARD_CAPTURE_BYTES": str(settings.capture_max_body_bytes if settings.capture else 0),
        "SWITCHYARD_MAX_REQUEST_BYTES": str(settings.max_request_bytes),
        "SWITCHYARD_CONTENT_TYPES": settings.content_types,
        "SWITCHYARD_ANSWERS_DIR": str(answers),
    }


def command(envoy: str, settings: Settings, configuration: Path) -> list[str]:
    """Envoy's command line."""
    return [
        envoy,
        "--config-path", str(configuration),
        "--concurrency", str(settings.concurrency),
        # Nothing here restarts Envoy in place, and two of them in one pod's network (tests) must not meet.
        "--disable-hot-restart",
        "--log-level", settings.log_level,
        "--file-flush-interval-msec", str(settings.flush_interval_ms),
        "--file-flush-min-size-kb", str(settings.flush_min_size_kb),
        "--drain-time-s", str(settings.drain_seconds),
        # Once draining, every answer asks its client to connect anew, elsewhere.
        "--drain-strategy", "immediate",
    ]  # fmt: skip


def prepare(settings: Settings, *, now_ns: int) -> tuple[Path, dict[str, str]]:
    """Make the folders, name this start, write its configuration; returns where that is and what Lua wants to know."""
    os.umask(WORLD_CANNOT)
    spool, run = Path(settings.spool_dir), Path(settings.run_dir)
    active = spool / "active"
    active.mkdir(parents=True, exist_ok=True)
    run.mkdir(parents=True, exist_ok=True)
    boot = f"{now_ns:019d}"
    set_aside(active, now_ns=now_ns)
    answers = spool / "boots" / boot
    answers.mkdir(parents=True)
    if settings.tls_dir:
        Path(settings.certificate_file).write_text(json.dumps(certificate(settings), indent=1))
    configuration = run / "bootstrap.json"
    configuration.write_text(json.dumps(bootstrap(settings, boot=boot), indent=1))
    return configuration, for_capture(settings, answers)


def main() -> None:
    """Never returns: Envoy takes over."""
    try:
        settings = Settings.from_env(os.environ)
    except ValueError as error:
        sys.exit(str(error))
    envoy = shutil.which("envoy")
    if envoy is None:
        sys.exit("there is no `envoy` on PATH; this image must hold one")
    configuration, environment = prepare(settings, now_ns=time.time_ns())
    os.execve(envoy, command(envoy, settings, configuration), {**os.environ, **environment})


if __name__ == "__main__":
    main()
