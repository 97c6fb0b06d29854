"""Alarms: who evaluates a deployment, what is remembered of its rules, and what was said of them.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from switchyard_monitor.adapters.columns import SERIAL, TEXT

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "evaluator",
        sa.Column("subject", TEXT, primary_key=True),
        sa.Column("owner", TEXT),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("asked_us", sa.BigInteger),
        sa.Column("request", TEXT, nullable=False, server_default=""),
    )
    op.create_table(
        "alarm",
        sa.Column("subject", TEXT, primary_key=True),
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("firing", sa.Integer, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "alarm_record",
        sa.Column("n", SERIAL, primary_key=True),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("event", TEXT, nullable=False),
        sa.Column("alarm", TEXT, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.UniqueConstraint("id", name="alarm_record_once"),
    )
    op.create_index("alarm_record_newest", "alarm_record", ["subject", "n"])
