"""Composes: settings → adapters → application → uvicorn. The one place that knows every class."""

from __future__ import annotations

import logging
import os
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import httpx
import uvicorn
from pydantic import ValidationError
from switchyard_contracts import logs
from switchyard_contracts.kafka_settings import SecretUnreadable
from switchyard_contracts.kafka_trouble import Complaints
from switchyard_contracts.own_metrics import own

from switchyard_feedback.adapters.bus import KafkaLog
from switchyard_feedback.adapters.monitor import HttpMonitor
from switchyard_feedback.api import create_app
from switchyard_feedback.certificate import Certificate, CertificateUnreadable
from switchyard_feedback.errors import TokensUnreadable
from switchyard_feedback.metrics import Metrics
from switchyard_feedback.settings import Settings
from switchyard_feedback.tokens import Tokens

log = logging.getLogger("switchyard_feedback")
LOOK_EVERY = 5.0
"""Seconds between two looks at the certificate's files."""


def main() -> int:
    """Serve until told to stop; what is under way is finished first."""
    quiet = {"kafka": logging.WARNING, "httpx": logging.WARNING}
    logs.configure(os.environ.get("FEEDBACK_LOG_FORMAT", ""), quiet=quiet)
    try:
        settings = Settings.from_env(os.environ)
        tokens = Tokens(settings.tokens_file)
        brokers = settings.connection("switchyard-feedback")
        certificate = served_with(settings)
    except (ValidationError, SecretUnreadable, TokensUnreadable, CertificateUnreadable) as error:
        log.error("feedback cannot start: %s", error)
        return 2
    timeout = settings.kafka_timeout.total_seconds()
    monitor = None
    if settings.monitor_url and settings.monitor_token_file:
        client = httpx.AsyncClient(base_url=settings.monitor_url, timeout=5.0)
        monitor = HttpMonitor(client, token_file=settings.monitor_token_file)
    metrics = Metrics()
    own(metrics.registry, part="feedback", distribution="switchyard-feedback")
    app = create_app(
        tokens=tokens,
        events=KafkaLog(
            brokers,
            timeout=timeout,
            max_pending=settings.max_pending,
            topic=settings.topic_names.events,
            explain=Complaints.hear(settings).explain,
        ),
        monitor=monitor,
        metrics=metrics,
        max_body=settings.max_body,
        now=lambda: datetime.now(UTC),
    )
    tls: dict[str, Any] = {}
    if certificate is not None:
        tls["ssl_context_factory"] = lambda _config, _default: certificate.context
        follow = {"stop": threading.Event(), "every": LOOK_EVERY}
        threading.Thread(target=certificate.follow, kwargs=follow, name="certificate", daemon=True).start()
    # 0.0.0.0: the pod's address; who may reach it is the network policy's and the tokens' matter
    uvicorn.run(
        app,
        host="0.0.0.0",
        port=settings.port,
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        timeout_keep_alive=75,  # longer than the gateway keeps an idle connection, so that it never meets a closed one
        timeout_graceful_shutdown=int(timeout) + 2,
        **tls,
    )
    return 0


def served_with(settings: Settings) -> Certificate | None:
    """The certificate at the door, or none for plain HTTP."""
    if settings.tls_certificate_file is None or settings.tls_key_file is None:
        return None
    return Certificate(settings.tls_certificate_file, settings.tls_key_file)


if __name__ == "__main__":
    sys.exit(main())
