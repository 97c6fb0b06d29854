"""Replays: up to where a partition's records were read before, and are read once more.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("partition", sa.Column("again_until", sa.BigInteger, nullable=False, server_default="0"))
