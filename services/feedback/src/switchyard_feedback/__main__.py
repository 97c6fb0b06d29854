"""Composes: settings → adapters → application → uvicorn. The one place that knows every class."""

from __future__ import annotations

import logging
import os
import sys
from datetime import UTC, datetime

import httpx
import uvicorn
from pydantic import ValidationError
from switchyard_contracts.kafka_settings import SecretUnreadable
from switchyard_contracts.kafka_trouble import Complaints

from switchyard_feedback.adapters.bus import KafkaLog
from switchyard_feedback.adapters.monitor import HttpMonitor
from switchyard_feedback.api import create_app
from switchyard_feedback.errors import TokensUnreadable
from switchyard_feedback.metrics import Metrics
from switchyard_feedback.settings import Settings
from switchyard_feedback.tokens import Tokens


def main() -> int:
    """Serve until told to stop; what is under way is finished first."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stdout)
    logging.getLogger("kafka").setLevel(logging.WARNING)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = Settings.from_env(os.environ)
        tokens = Tokens(settings.tokens_file)
        brokers = settings.connection("switchyard-feedback")
    except (ValidationError, SecretUnreadable, TokensUnreadable) as error:
        logging.error("feedback cannot start: %s", error)
        return 2
    timeout = settings.kafka_timeout.total_seconds()
    monitor = None
    if settings.monitor_url and settings.monitor_token_file:
        client = httpx.AsyncClient(base_url=settings.monitor_url, timeout=5.0)
        monitor = HttpMonitor(client, token_file=settings.monitor_token_file)
    app = create_app(
        tokens=tokens,
        events=KafkaLog(
            brokers,
            timeout=timeout,
            max_pending=settings.max_pending,
            explain=Complaints.hear(settings).explain,
        ),
        monitor=monitor,
        metrics=Metrics(),
        max_body=settings.max_body,
        now=lambda: datetime.now(UTC),
    )
    # 0.0.0.0: the pod's address; who may reach it is the network policy's and the tokens' matter
    uvicorn.run(
        app,
        host="0.0.0.0",
        port=settings.port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=75,  # longer than the gateway keeps an idle connection, so that it never meets a closed one
        timeout_graceful_shutdown=int(timeout) + 2,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
