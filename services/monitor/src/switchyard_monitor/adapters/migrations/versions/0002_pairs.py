"""Pairs: which revisions answered the same requests, their sums, and the latency of each answer.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from switchyard_monitor.adapters.columns import TEXT

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("prediction", sa.Column("latency_us", sa.BigInteger))
    op.create_table(
        "pair",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("rule", sa.Integer, sa.ForeignKey("rule.id"), nullable=False),
        sa.Column("stable", TEXT, nullable=False),
        sa.Column("mirrored", TEXT, nullable=False),
        sa.Column("traffic", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("rule", "stable", "mirrored", "traffic", name="pair_once"),
    )
    op.create_table(
        "pair_cell",
        sa.Column("pair", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("start_us", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sums", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pair_total",
        sa.Column("pair", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sums", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )
