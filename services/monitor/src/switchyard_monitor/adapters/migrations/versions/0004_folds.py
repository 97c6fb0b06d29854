"""Folds: arms of a sticky split are kept by groups of users. What was kept before has none.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BEFORE = ["rule", "revision", "role", "traffic", "weight_bp", "assignment"]


def upgrade() -> None:
    with op.batch_alter_table("arm") as arm:
        arm.add_column(sa.Column("fold", sa.Integer, nullable=False, server_default="-1"))
        arm.drop_constraint("arm_once", type_="unique")
        arm.create_unique_constraint("arm_once", [*BEFORE, "fold"])
