"""Retention: when each row came and whose it is, who prunes, and up to where windows are coarser.

What left no Y and was kept before this is as old as the newest record that was read, so that none of it goes too soon.
It says so by the column's default, of which both databases make a note: rows are not written anew, be they billions.
A label that waits for its Y and was kept before this does not say whose it is: it waits on.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op
from switchyard_monitor.adapters.columns import TEXT

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("label", sa.Column("rule", sa.Integer))
    newest = sa.text('SELECT coalesce(max(watermark_us), 0) FROM "partition"')
    newest_us = int(op.get_bind().execute(newest).scalar_one())
    for table in ("exchange", "input"):
        op.add_column(table, sa.Column("at_us", sa.BigInteger, nullable=False, server_default=sa.text(str(newest_us))))
    op.create_table(
        "duty",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("owner", TEXT),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "coarse",
        sa.Column("subject", TEXT, primary_key=True),
        sa.Column("hourly_us", sa.BigInteger, nullable=False),
        sa.Column("daily_us", sa.BigInteger, nullable=False),
        sa.Column("forgotten_us", sa.BigInteger, nullable=False),
    )
