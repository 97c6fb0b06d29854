"""Where the book is kept: one file beside the spool, replaced whole, so that a kill leaves the old one or the new."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import TypeAdapter

from switchyard_gateway.shipper.account import Book
from switchyard_gateway.shipper.errors import BookUnreadable

_BOOK = TypeAdapter(Book)


class Store:
    """The book's file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "account.json"

    def read(self) -> Book:
        """The book as last written; a new one where there is none."""
        try:
            return _BOOK.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return Book()
        except ValueError as error:
            raise BookUnreadable(
                f"{self._path} cannot be read ({error}); "
                "move it away to send again what is spooled, with the account begun anew"
            ) from error

    def write(self, book: Book) -> None:
        """On the disk when this returns."""
        new = self._path.with_suffix(".new")
        with new.open("w") as file:
            json.dump(_BOOK.dump_python(book, mode="json"), file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
