"""The first schema: partitions and leases, rules and arms, rows, sums, ledgers, outbox.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from switchyard_monitor.adapters.columns import SERIAL, TEXT

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "partition",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("topic_id", TEXT),
        sa.Column("base_offset", sa.BigInteger),
        sa.Column("next_offset", sa.BigInteger),
        sa.Column("owner", TEXT),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
        sa.Column("watermark_us", sa.BigInteger),
        sa.Column("stopped", TEXT),
    )

    op.create_table(
        "member",
        sa.Column("name", TEXT, primary_key=True),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
    )

    op.create_table(
        "rule",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.UniqueConstraint("subject", "digest", name="rule_once"),
    )

    op.create_table(
        "arm",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("rule", sa.Integer, sa.ForeignKey("rule.id"), nullable=False),
        sa.Column("revision", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("traffic", sa.BigInteger, nullable=False),
        sa.Column("weight_bp", sa.Integer, nullable=False),
        sa.Column("assignment", TEXT, nullable=False),
        sa.UniqueConstraint("rule", "revision", "role", "traffic", "weight_bp", "assignment", name="arm_once"),
    )

    op.create_table(
        "prediction",
        sa.Column("k", sa.LargeBinary, primary_key=True),
        sa.Column("arm", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("event", sa.BigInteger, nullable=False),
        sa.Column("x", sa.BigInteger),
        sa.Column("number", sa.Float),
        sa.Column("name", TEXT),
        sqlite_with_rowid=False,
    )

    op.create_table(
        "label",
        sa.Column("k", sa.LargeBinary, primary_key=True),
        sa.Column("kind", TEXT, primary_key=True),
        sa.Column("event_id", TEXT, primary_key=True),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("broker_us", sa.BigInteger, nullable=False),
        sa.Column("number", sa.Float),
        sa.Column("name", TEXT),
        sa.Column("actor", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )

    op.create_table(
        "exchange",
        sa.Column("k", sa.LargeBinary, primary_key=True),
        sa.Column("event", sa.BigInteger, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )

    op.create_table(
        "input",
        sa.Column("k", sa.LargeBinary, primary_key=True),
        sa.Column("event", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("x", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )

    op.create_table("erased", sa.Column("prefix", sa.LargeBinary, primary_key=True), sqlite_with_rowid=False)

    op.create_table(
        "cell",
        sa.Column("arm", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("start_us", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sums", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )

    op.create_table(
        "total",
        sa.Column("arm", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sums", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )

    op.create_table(
        "label_ledger",
        sa.Column("subject", TEXT, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sums", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )

    op.create_table(
        "ledger",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sums", TEXT, nullable=False),
    )

    op.create_table(
        "held",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("subject", TEXT, primary_key=True),
        sa.Column("offset", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("broker_us", sa.BigInteger, nullable=False),
        sa.Column("key", sa.LargeBinary),
        sa.Column("value", sa.LargeBinary),
        sa.Column("headers", TEXT, nullable=False),
        sqlite_with_rowid=False,
    )

    op.create_table(
        "outbox",
        sa.Column("n", SERIAL, primary_key=True),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("topic", TEXT, nullable=False),
        sa.Column("key", sa.LargeBinary),
        sa.Column("value", sa.LargeBinary),
        sa.Column("headers", TEXT, nullable=False),
    )
