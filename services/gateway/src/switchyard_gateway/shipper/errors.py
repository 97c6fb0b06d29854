"""What can go wrong, named by what the caller can do about it."""

from __future__ import annotations


class ShipperError(Exception):
    """Anything the shipper itself reports."""


class BookUnreadable(ShipperError):
    """The shipper's own file is damaged; a person must say what to do."""


class BusBroken(ShipperError):
    """The way to Kafka is gone for good; only a new start makes another."""


class EnvoyUnavailable(ShipperError):
    """Envoy's admin door does not answer; the same call may succeed later."""
