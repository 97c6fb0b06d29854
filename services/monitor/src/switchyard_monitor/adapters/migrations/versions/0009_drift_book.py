"""What windows were found to be, and which are due to be judged: all that were profiled so far.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op
from switchyard_monitor.adapters.columns import TEXT

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drift_due",
        sa.Column("subject", TEXT, primary_key=True),
        sa.Column("baseline", TEXT, primary_key=True),
        sa.Column("start_us", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("times", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "drift_window",
        sa.Column("subject", TEXT, primary_key=True),
        sa.Column("baseline", TEXT, primary_key=True),
        sa.Column("revision", TEXT, primary_key=True),
        sa.Column("start_us", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("features", sa.Integer, nullable=False),
        sa.Column("drifted", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "drift_feature",
        sa.Column("subject", TEXT, primary_key=True),
        sa.Column("baseline", TEXT, primary_key=True),
        sa.Column("revision", TEXT, primary_key=True),
        sa.Column("feature", TEXT, primary_key=True),
        sa.Column("start_us", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("effect", sa.Float, nullable=False),
        sa.Column("usual", sa.Float, nullable=False),
        sa.Column("drifted", TEXT, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("drift_feature_window", "drift_feature", ["subject", "baseline", "revision", "start_us"])
    op.execute(
        "INSERT INTO drift_due (subject, baseline, start_us, times)"
        " SELECT DISTINCT subject, baseline, start_us, 1 FROM profile"
    )
