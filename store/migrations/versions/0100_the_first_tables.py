"""the tables of the first release

Revision ID: 0100

All migrations before it are folded in. A store at one of them (release 0.1.0 had 0005)
has some tables and columns already: what is there stays, and what is missing is added.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0100"
down_revision = None
branch_labels = None
depends_on = None

TABLES = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
BIG = sa.BigInteger()
# SQLite makes only INTEGER PRIMARY KEY an alias of the row id.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# 500 charges of a transaction are more than the 64 KiB of MariaDB's TEXT.
LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
# A batch of 50 counters took 10 % less time: a counter's new version fits its page and needs
# no new index entry (HOT). Half a page for some thousand rows is nothing.
FILLFACTOR = "ALTER TABLE usage SET (fillfactor = 50)"


def _exact(length: int) -> sa.String:
    """Return a text compared byte by byte."""
    binary = mysql.VARCHAR(length, collation="utf8mb4_nopad_bin")
    return sa.String(length).with_variant(binary, "mysql", "mariadb")


def _table(name: str, *columns: sa.Column[Any] | sa.UniqueConstraint | sa.Index) -> None:
    sa.Table(name, TABLES, *columns)


def _given(name: str, kind: sa.types.TypeEngine[Any], **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **options)


def _key(
    kind: sa.types.TypeEngine[Any] = ID, name: str = "id", *, given: bool = False
) -> sa.Column[Any]:
    """Return a primary key; *given* when the database does not number the rows."""
    return sa.Column(name, kind, primary_key=True, autoincrement=False if given else "auto")


def _account(*, index: bool) -> sa.Column[Any]:
    return sa.Column("account_id", ID, sa.ForeignKey("account.id"), nullable=False, index=index)


_table("revision", _key(sa.Integer(), given=True), _given("value", BIG))
_table(
    "account",
    _key(),
    _given("name", _exact(128), unique=True),
    _given("role", sa.String(32)),
    _given("condition", sa.String(32)),
    sa.Column("password", sa.String(512)),
    _given("initial", sa.Boolean()),
    sa.Column("identity", sa.String(128)),
    sa.Column("second_mailbox", _exact(320)),
    sa.Column("mailbox", BIG),
    sa.Column("mailbox_until", BIG),
    sa.Column("attachments", BIG),
    sa.Column("attachments_until", BIG),
    sa.Column("send", sa.String(255)),
    sa.Column("send_until", BIG),
    _given("created_at", BIG),
    sa.Column("removed_at", BIG),
    _given("rev", BIG, index=True),
)
_table("address", _key(), _given("name", _exact(320), unique=True), _account(index=True))
_table(
    "password_event",
    _key(),
    _account(index=True),
    _given("at", BIG),
    _given("how", sa.String(32)),
)
_table(
    "suspension",
    _key(),
    _account(index=True),
    _given("scope", sa.String(32)),
    _given("reason", sa.String(255)),
    _given("created_at", BIG),
    sa.Column("until", BIG),
    sa.Column("ended_at", BIG),
)
_table(
    "whitelist",
    _key(),
    _given("network", sa.String(49), index=True),
    _given("created_at", BIG),
    sa.Column("expires_at", BIG, index=True),
    sa.Column("ended_at", BIG),
    _given("reason", sa.String(255)),
    _given("who", _exact(320)),
    _given("rev", BIG, index=True),
)
_table(
    "usage",
    _key(_exact(160), "subject"),
    _key(sa.Integer(), "span", given=True),
    _given("slot", BIG),
    _given("used", sa.Integer()),
    _given("past", sa.LargeBinary(240).with_variant(mysql.VARBINARY(240), "mysql", "mariadb")),
    _given("refused", sa.Integer()),
    _given("until", BIG, index=True),
)
_table(
    "answer",
    _key(given=True),
    _given("at", BIG, index=True),
    _given("action", sa.String(1024)),
)
_table(
    "batch",
    _key(),
    _given("at", BIG),
    _given("messages", sa.LargeBinary()),
    _given("refused", sa.Text()),
    sa.Column("counts", sa.Text()),
    sa.Column("queues", sa.LargeBinary()),
    sa.Column("charges", LONG_TEXT),
)
_table(
    "give_back",
    _key(),
    _given("queue", BIG),
    _given("began", BIG),
    _given("at", BIG),
    _given("looked", sa.Integer()),
)
_table("guess", _key(_exact(160), "subject"), _given("full_at", BIG, index=True))
_table(
    "origin",
    _key(),
    _account(index=False),
    _given("network", _exact(49)),
    _given("at", BIG, index=True),
    sa.UniqueConstraint("account_id", "network"),
)
_table(
    "graduation",
    _key(),
    _account(index=True),
    _given("at", BIG, index=True),
    _given("role", sa.String(32)),
    sa.Column("mailbox", BIG),
    sa.Column("mailbox_until", BIG),
    sa.Column("undone_at", BIG),
)
_table(
    "notice",
    _key(),
    _given("recipient", _exact(320)),
    _given("subject", sa.String(255)),
    _given("text", sa.Text()),
    _given("created_at", BIG),
    sa.Column("sent_at", BIG, index=True),
    sa.Column("kind", sa.String(32)),
    sa.Column("dedupe", _exact(128), unique=True),
    _given("tries", sa.Integer(), server_default="0"),
    _given("next_at", BIG, server_default="0"),
    sa.Column("claimed_until", BIG),
    sa.Column("error", sa.String(255)),
    sa.Column("given_up_at", BIG),
)
_table(
    "audit",
    _key(),
    _given("at", BIG, index=True),
    _given("who", _exact(320)),
    _given("action", sa.String(32)),
    _given("subject", _exact(320)),
    _given("why", sa.String(255)),
    _given("detail", sa.Text()),
    sa.Index("ix_audit_subject_at", "subject", "at"),
)


def upgrade() -> None:
    """Create the tables, and in those of an earlier version the columns that are missing."""
    connection = op.get_bind()
    there = sa.inspect(connection)
    before = set(there.get_table_names())
    for name in before & TABLES.tables.keys():
        _complete(TABLES.tables[name], {column["name"] for column in there.get_columns(name)})
    TABLES.create_all(connection)
    if connection.dialect.name == "postgresql":
        op.execute(FILLFACTOR)
    if "revision" not in before:
        op.bulk_insert(TABLES.tables["revision"], [{"id": 1, "value": 0}])


def _complete(table: sa.Table, there: set[str]) -> None:
    missing = [column for column in table.columns if column.name not in there]
    if not missing:
        return
    with op.batch_alter_table(table.name) as batch:
        for column in missing:
            batch.add_column(
                sa.Column(
                    column.name,
                    column.type,
                    nullable=column.nullable,
                    server_default=column.server_default,
                )
            )
            if column.unique:
                batch.create_unique_constraint(f"uq_{table.name}_{column.name}", [column.name])
    if table.name == "notice":
        op.execute("UPDATE notice SET kind = 'graduated'")  # the only kind there was


def downgrade() -> None:
    """Drop all tables."""
    TABLES.drop_all(op.get_bind())
