"""Rows of stable's first days, and the references that were learnt of them.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from switchyard_monitor.adapters.columns import TEXT

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "learning",
        sa.Column("subject", TEXT, primary_key=True),
        sa.Column("revision", TEXT, primary_key=True),
        sa.Column("day_us", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("rank", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("k", sa.LargeBinary, primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("learning_key", "learning", ["k"])
    op.create_index("learning_age", "learning", ["day_us"])
    op.create_table(
        "learnt",
        sa.Column("subject", TEXT, primary_key=True),
        sa.Column("revision", TEXT, primary_key=True),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
    )
