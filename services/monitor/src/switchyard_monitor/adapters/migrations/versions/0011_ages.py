"""Ages by the broker's clock: of each partition its newest event's time, and up to when all was read by that clock.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("partition", sa.Column("broker_us", sa.BigInteger))
    op.add_column("partition", sa.Column("aged_us", sa.BigInteger))
