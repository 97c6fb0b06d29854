"""The tables. Times are microseconds since 1970 in UTC; keys are the 16 bytes of `domain.identity`.

In SQLite, rows of predictions and labels lie in the order of their keys, without a row id of their own, so that the
rows of new predictions are appended. Sums are text: equal sums are equal text, and a person can read them.

What grows with time goes with time (`domain.retention`): predictions, labels, exchanges and inputs when nobody can join
or judge them, windows, profiles and what was found of drift in them after 400 days, rows to learn of (2,000 a revision
and day) when they were learnt of, or after 90 days, and what happened in rollouts after 400. Else it is bounded: alarms
by the rules, what was said of them to 1,000 records a deployment (`adapters.alarms`), what is due of drift by its
windows, evaluators and duties to a row a deployment, outbox and held records by what waits. Three stay for ever: totals
and arms, a row for each weight of a rollout; references, for nobody knows who will name one, of which a revision that
serves a week has one at most; and stubs of what was erased, so that it never comes back.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
)

from switchyard_monitor.adapters.columns import SERIAL, TEXT

metadata = MetaData()

partition = Table(
    "partition",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("topic_id", TEXT),
    Column("base_offset", BigInteger),
    Column("next_offset", BigInteger),
    Column("owner", TEXT),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("watermark_us", BigInteger),
    Column("stopped", TEXT),
    Column("again_until", BigInteger, nullable=False, server_default="0"),
    Column("broker_us", BigInteger),
    Column("aged_us", BigInteger),
)

member = Table(
    "member",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("expires_us", BigInteger, nullable=False),
)

rule = Table(
    "rule",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("subject", TEXT, nullable=False),
    Column("digest", TEXT, nullable=False),
    Column("body", TEXT, nullable=False),
    UniqueConstraint("subject", "digest", name="rule_once"),
)

arm = Table(
    "arm",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rule", Integer, ForeignKey("rule.id"), nullable=False),
    Column("revision", TEXT, nullable=False),
    Column("role", TEXT, nullable=False),
    Column("traffic", BigInteger, nullable=False),
    Column("weight_bp", Integer, nullable=False),
    Column("assignment", TEXT, nullable=False),
    Column("fold", Integer, nullable=False, server_default="-1"),
    UniqueConstraint("rule", "revision", "role", "traffic", "weight_bp", "assignment", "fold", name="arm_once"),
)

prediction = Table(
    "prediction",
    metadata,
    Column("k", LargeBinary, primary_key=True),
    Column("arm", Integer, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("event", BigInteger, nullable=False),
    Column("x", BigInteger),
    Column("number", Float),
    Column("name", TEXT),
    Column("latency_us", BigInteger),
    Column("score", Integer),
    Column("segment", BigInteger),
    sqlite_with_rowid=False,
)

label = Table(
    "label",
    metadata,
    Column("k", LargeBinary, primary_key=True),
    Column("kind", TEXT, primary_key=True),
    Column("event_id", TEXT, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("broker_us", BigInteger, nullable=False),
    Column("number", Float),
    Column("name", TEXT),
    Column("actor", TEXT, nullable=False),
    Column("rule", Integer),
    sqlite_with_rowid=False,
)

exchange = Table(
    "exchange",
    metadata,
    Column("k", LargeBinary, primary_key=True),
    Column("event", BigInteger, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)

input_ = Table(
    "input",
    metadata,
    Column("k", LargeBinary, primary_key=True),
    Column("event", BigInteger, primary_key=True, autoincrement=False),
    Column("x", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False, server_default="0"),
    Column("segment", BigInteger),
    sqlite_with_rowid=False,
)

erased = Table("erased", metadata, Column("prefix", LargeBinary, primary_key=True), sqlite_with_rowid=False)

cell = Table(
    "cell",
    metadata,
    Column("arm", Integer, primary_key=True, autoincrement=False),
    Column("start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("sums", TEXT, nullable=False),
    sqlite_with_rowid=False,
)

total = Table(
    "total",
    metadata,
    Column("arm", Integer, primary_key=True, autoincrement=False),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("sums", TEXT, nullable=False),
    sqlite_with_rowid=False,
)

day_cell = Table(
    "day_cell",
    metadata,
    Column("arm", Integer, primary_key=True, autoincrement=False),
    Column("start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("sums", TEXT, nullable=False),
    sqlite_with_rowid=False,
)

day_total = Table(
    "day_total",
    metadata,
    Column("arm", Integer, primary_key=True, autoincrement=False),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("sums", TEXT, nullable=False),
    sqlite_with_rowid=False,
)

pair = Table(
    "pair",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rule", Integer, ForeignKey("rule.id"), nullable=False),
    Column("stable", TEXT, nullable=False),
    Column("mirrored", TEXT, nullable=False),
    Column("traffic", BigInteger, nullable=False),
    UniqueConstraint("rule", "stable", "mirrored", "traffic", name="pair_once"),
)

pair_cell = Table(
    "pair_cell",
    metadata,
    Column("pair", Integer, primary_key=True, autoincrement=False),
    Column("start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("sums", TEXT, nullable=False),
    sqlite_with_rowid=False,
)

pair_total = Table(
    "pair_total",
    metadata,
    Column("pair", Integer, primary_key=True, autoincrement=False),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("sums", TEXT, nullable=False),
    sqlite_with_rowid=False,
)

profile = Table(
    "profile",
    metadata,
    Column("subject", TEXT, primary_key=True),
    Column("start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", TEXT, primary_key=True),
    Column("role", TEXT, primary_key=True),
    Column("traffic", BigInteger, primary_key=True, autoincrement=False),
    Column("baseline", TEXT, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("body", TEXT, nullable=False),
    sqlite_with_rowid=False,
)

baseline = Table(
    "baseline",
    metadata,
    Column("digest", TEXT, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

drift_due = Table(
    "drift_due",
    metadata,
    Column("subject", TEXT, primary_key=True),
    Column("baseline", TEXT, primary_key=True),
    Column("start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("times", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

drift_window = Table(
    "drift_window",
    metadata,
    Column("subject", TEXT, primary_key=True),
    Column("baseline", TEXT, primary_key=True),
    Column("revision", TEXT, primary_key=True),
    Column("start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("rows", BigInteger, nullable=False),
    Column("features", Integer, nullable=False),
    Column("drifted", Integer, nullable=False),
    sqlite_with_rowid=False,
)

drift_feature = Table(
    "drift_feature",
    metadata,
    Column("subject", TEXT, primary_key=True),
    Column("baseline", TEXT, primary_key=True),
    Column("revision", TEXT, primary_key=True),
    Column("feature", TEXT, primary_key=True),
    Column("start_us", BigInteger, primary_key=True, autoincrement=False),
    Column("effect", Float, nullable=False),
    Column("usual", Float, nullable=False),
    Column("drifted", TEXT, nullable=False),
    Column("body", TEXT, nullable=False),
    Index("drift_feature_window", "subject", "baseline", "revision", "start_us"),
    sqlite_with_rowid=False,
)

learning = Table(
    "learning",
    metadata,
    Column("subject", TEXT, primary_key=True),
    Column("revision", TEXT, primary_key=True),
    Column("day_us", BigInteger, primary_key=True, autoincrement=False),
    Column("rank", BigInteger, primary_key=True, autoincrement=False),
    Column("k", LargeBinary, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    Column("body", TEXT, nullable=False),
    Index("learning_key", "k"),
    Index("learning_age", "day_us"),
    sqlite_with_rowid=False,
)

learnt = Table(
    "learnt",
    metadata,
    Column("subject", TEXT, primary_key=True),
    Column("revision", TEXT, primary_key=True),
    Column("digest", TEXT, nullable=False),
    Column("at_us", BigInteger, nullable=False),
)

label_ledger = Table(
    "label_ledger",
    metadata,
    Column("subject", TEXT, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("sums", TEXT, nullable=False),
    sqlite_with_rowid=False,
)

ledger = Table(
    "ledger",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("sums", TEXT, nullable=False),
)

held = Table(
    "held",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("subject", TEXT, primary_key=True),
    Column("offset", BigInteger, primary_key=True, autoincrement=False),
    Column("broker_us", BigInteger, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", TEXT, nullable=False),
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox",
    metadata,
    Column("n", SERIAL, primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("topic", TEXT, nullable=False),
    Column("key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", TEXT, nullable=False),
)

duty = Table(
    "duty",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("owner", TEXT),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)

coarse = Table(
    "coarse",
    metadata,
    Column("subject", TEXT, primary_key=True),
    Column("hourly_us", BigInteger, nullable=False),
    Column("daily_us", BigInteger, nullable=False),
    Column("forgotten_us", BigInteger, nullable=False),
)

rollout_event = Table(
    "rollout_event",
    metadata,
    Column("subject", TEXT, primary_key=True),
    Column("id", TEXT, primary_key=True),
    Column("first_us", BigInteger, nullable=False),
    Column("last_us", BigInteger, nullable=False),
    Column("body", TEXT, nullable=False),
    Index("rollout_event_newest", "subject", "last_us", "id"),
    Index("rollout_event_age", "last_us"),
)

rollout_place = Table(
    "rollout_place",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("topic_id", TEXT, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
)

evaluator = Table(
    "evaluator",
    metadata,
    Column("subject", TEXT, primary_key=True),
    Column("owner", TEXT),
    Column("epoch", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("asked_us", BigInteger),
    Column("request", TEXT, nullable=False, server_default=""),
)

alarm = Table(
    "alarm",
    metadata,
    Column("subject", TEXT, primary_key=True),
    Column("name", TEXT, primary_key=True),
    Column("firing", Integer, nullable=False),
    Column("body", TEXT, nullable=False),
    sqlite_with_rowid=False,
)

alarm_record = Table(
    "alarm_record",
    metadata,
    Column("n", SERIAL, primary_key=True),
    Column("subject", TEXT, nullable=False),
    Column("id", TEXT, nullable=False),
    Column("event", TEXT, nullable=False),
    Column("alarm", TEXT, nullable=False),
    Column("body", TEXT, nullable=False),
    UniqueConstraint("id", name="alarm_record_once"),
    Index("alarm_record_newest", "subject", "n"),
)
