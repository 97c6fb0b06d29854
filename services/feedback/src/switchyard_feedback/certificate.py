"""The certificate at feedback's door, taken anew when its files change: a Secret is renewed long before it ends.

New connections meet the new certificate; those that are open keep theirs.
"""

from __future__ import annotations

import logging
import ssl
import threading
from pathlib import Path

log = logging.getLogger(__name__)


class CertificateUnreadable(ValueError):
    """There is no certificate with its key; the message names the files."""


class Certificate:
    """A server's TLS context that follows its files."""

    def __init__(self, chain: Path, key: Path) -> None:
        """Read both; raises `CertificateUnreadable`."""
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._chain, self._key = chain, key
        self._loaded = self._state()
        self._load()

    def refresh(self) -> bool:
        """Read both again if they changed; a half-written pair waits for its other half."""
        try:
            state = self._state()
            if state == self._loaded:
                return False
            self._load()
        except CertificateUnreadable as error:
            log.warning("the certificate in use is kept: %s", error)
            return False
        self._loaded = state
        log.info("took the new certificate from %s", self._chain)
        return True

    def follow(self, stop: threading.Event, *, every: float) -> None:
        """Refresh until told to stop."""
        while not stop.wait(every):
            self.refresh()

    def _state(self) -> tuple[bytes, bytes]:
        try:
            return self._chain.read_bytes(), self._key.read_bytes()
        except OSError as error:
            raise CertificateUnreadable(f"{self._chain} and {self._key} cannot be read: {error}") from error

    def _load(self) -> None:
        try:
            self.context.load_cert_chain(self._chain, self._key)
        except (OSError, ssl.SSLError) as error:
            raise CertificateUnreadable(
                f"{self._chain} and {self._key} are no certificate and its key: {error}"
            ) from error
