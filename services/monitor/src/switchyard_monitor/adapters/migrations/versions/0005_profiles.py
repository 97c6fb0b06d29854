"""Profiles of X and Y by window, and the references that they were counted in.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from switchyard_monitor.adapters.columns import TEXT

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "profile",
        sa.Column("subject", TEXT, primary_key=True),
        sa.Column("start_us", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("revision", TEXT, primary_key=True),
        sa.Column("role", TEXT, primary_key=True),
        sa.Column("traffic", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("baseline", TEXT, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("body", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "baseline",
        sa.Column("digest", TEXT, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
