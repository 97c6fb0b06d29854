"""Types of columns that mean the same in SQLite and in PostgreSQL, for the tables and for their migrations."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, Text

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
"""Compared by code points, as SQLite and Python do, whatever language the database was made for."""

SERIAL = BigInteger().with_variant(Integer, "sqlite")
"""A number that the database draws. Only an INTEGER of SQLite's is drawn, and that has 64 bits."""
