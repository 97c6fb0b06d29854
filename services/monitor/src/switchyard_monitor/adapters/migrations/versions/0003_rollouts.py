"""What happened in rollouts, and how far their topic was read.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from switchyard_monitor.adapters.columns import TEXT

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rollout_event",
        sa.Column("subject", TEXT, primary_key=True),
        sa.Column("id", TEXT, primary_key=True),
        sa.Column("first_us", sa.BigInteger, nullable=False),
        sa.Column("last_us", sa.BigInteger, nullable=False),
        sa.Column("body", TEXT, nullable=False),
    )
    op.create_index("rollout_event_newest", "rollout_event", ["subject", "last_us", "id"])
    op.create_index("rollout_event_age", "rollout_event", ["last_us"])
    op.create_table(
        "rollout_place",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("topic_id", TEXT, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
    )
