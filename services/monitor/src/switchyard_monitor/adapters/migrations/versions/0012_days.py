"""Days: sums by day, and the score and segments of a prediction. What was judged before is added up from windows.

Revision ID: 0012
Revises: 0011
"""

import json
from itertools import groupby

import sqlalchemy as sa
from alembic import op
from switchyard_monitor.adapters.columns import TEXT

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

DAY_US = 86_400_000_000
KEPT = ("predictions", "age.n", "age.right", "age.e", "age.ee", "age.a", "age.clipped")
FETCHED = 1000


def upgrade() -> None:
    op.add_column("prediction", sa.Column("score", sa.Integer))
    op.add_column("prediction", sa.Column("segment", sa.BigInteger))
    op.add_column("input", sa.Column("segment", sa.BigInteger))
    cell = op.create_table(
        "day_cell",
        sa.Column("arm", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("start_us", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sums", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )
    total = op.create_table(
        "day_total",
        sa.Column("arm", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sums", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )
    connection = op.get_bind()
    arms = connection.execute(sa.text("SELECT DISTINCT arm, partition FROM total ORDER BY arm, partition")).all()
    windows = sa.text(
        "SELECT start_us, sums FROM cell WHERE arm = :arm AND partition = :partition ORDER BY start_us"
    ).execution_options(yield_per=FETCHED)
    for arm, partition in arms:
        owner = {"arm": arm, "partition": partition}
        everything: dict[str, int] = {}
        days = []
        rows = connection.execute(windows, owner)
        for start_us, held in groupby(rows, key=lambda row: row.start_us - row.start_us % DAY_US):
            sums: dict[str, int] = {}
            for row in held:
                _add(sums, json.loads(row.sums))
            _add(everything, sums)
            if text := _text(sums):
                days.append({**owner, "start_us": start_us, "sums": text})
        if days:
            op.bulk_insert(cell, days)
        if text := _text(everything):
            op.bulk_insert(total, [{**owner, "sums": text}])


def _add(total: dict[str, int], part: dict[str, int]) -> None:
    for name in KEPT:
        if part.get(name):
            total[name] = total.get(name, 0) + part[name]


def _text(sums: dict[str, int]) -> str:
    """As `domain.sums.encode` has it."""
    kept = {name: value for name, value in sums.items() if value}
    return json.dumps(kept, sort_keys=True, separators=(",", ":")) if kept else ""
