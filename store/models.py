"""The tables. The migrations in store/migrations create them; a test compares both.

Times are whole seconds of Unix time: the same in every database, comparable in SQL, without time
zones. Sizes are bytes. Every row that the services keep in memory has ``rev``, the store's revision
at its last change, so that a refresh reads only changed rows (`store.memory.directory`).
"""

from typing import Annotated

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Fixed names, so that Alembic can drop constraints on every database.
NAMES = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
# On SQLite, only INTEGER PRIMARY KEY is an alias of the row id.
BigId = BigInteger().with_variant(Integer(), "sqlite")


def _exact(length: int) -> String:
    """Return a text type compared byte by byte; MariaDB's default equates é with e."""
    binary = mysql.VARCHAR(length, collation="utf8mb4_nopad_bin")
    return String(length).with_variant(binary, "mysql", "mariadb")


PrimaryKey = Annotated[int, mapped_column(BigId, primary_key=True)]
Seconds = Annotated[int, mapped_column(BigInteger)]
Bytes = Annotated[int, mapped_column(BigInteger)]
Name = Annotated[str, mapped_column(_exact(128))]  # canonical: see store.people.names
ShortText = Annotated[str, mapped_column(String(32))]
Mail = Annotated[str, mapped_column(_exact(320))]  # 64 + @ + 255 (RFC 5321 4.5.3.1)


class Base(DeclarativeBase):
    """Root of all tables."""

    metadata = NAMES


class RevisionRow(Base):
    """One row: the number of the last change that memory copies must see (`store.revision`)."""

    __tablename__ = "revision"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    value: Mapped[int] = mapped_column(BigInteger)


class AccountRow(Base):
    """An account: a person or a role address with a mailbox."""

    __tablename__ = "account"
    id: Mapped[PrimaryKey]
    name: Mapped[Name] = mapped_column(unique=True)
    role: Mapped[ShortText]
    condition: Mapped[ShortText]  # the registrar's status (R2)
    password: Mapped[str | None] = mapped_column(String(512))  # {SCHEME}hash, as Dovecot writes it
    initial: Mapped[bool]  # still the password made from the identity document (R3)
    identity: Mapped[str | None] = mapped_column(String(128))  # keyed hash, never readable
    second_mailbox: Mapped[Mail | None]
    # Overrides of the role, each until its time (NULL: for good).
    mailbox: Mapped[Bytes | None]
    mailbox_until: Mapped[Seconds | None]
    attachments: Mapped[Bytes | None]
    attachments_until: Mapped[Seconds | None]
    send: Mapped[str | None] = mapped_column(String(255))  # "200/1h 500/1d"
    send_until: Mapped[Seconds | None]
    created_at: Mapped[Seconds]
    removed_at: Mapped[Seconds | None]  # kept, so that memory copies learn of it
    rev: Mapped[int] = mapped_column(BigInteger, index=True)


class AliasRow(Base):
    """Another name of an account: a local part in the site's domains, or a whole address."""

    __tablename__ = "address"
    id: Mapped[PrimaryKey]
    name: Mapped[Mail] = mapped_column(unique=True)
    account_id: Mapped[int] = mapped_column(BigId, ForeignKey("account.id"), index=True)


class PasswordEventRow(Base):
    """When a password was set, and how; never the password."""

    __tablename__ = "password_event"
    id: Mapped[PrimaryKey]
    account_id: Mapped[int] = mapped_column(BigId, ForeignKey("account.id"), index=True)
    at: Mapped[Seconds]
    how: Mapped[ShortText]  # initial, reset, changed, upgraded


class SuspensionRow(Base):
    """An operator's suspension, independent of the registrar's condition (R2)."""

    __tablename__ = "suspension"
    id: Mapped[PrimaryKey]
    account_id: Mapped[int] = mapped_column(BigId, ForeignKey("account.id"), index=True)
    scope: Mapped[ShortText]  # sending, everything
    reason: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[Seconds]
    until: Mapped[Seconds | None]
    ended_at: Mapped[Seconds | None]


class WhitelistRow(Base):
    """A network whose client limit is lifted (R13, R20)."""

    __tablename__ = "whitelist"
    id: Mapped[PrimaryKey]
    network: Mapped[str] = mapped_column(String(49), index=True)  # CIDR; a host is /32 or /128
    created_at: Mapped[Seconds]
    expires_at: Mapped[Seconds | None] = mapped_column(index=True)  # NULL: permanent
    ended_at: Mapped[Seconds | None]  # revoked, or expired and swept
    reason: Mapped[str] = mapped_column(String(255))
    who: Mapped[Mail]
    rev: Mapped[int] = mapped_column(BigInteger, index=True)


class UsageRow(Base):
    """One sliding window of one subject: recipients accepted, by sixtieths of its span.

    ``slot`` is the number of the current sixtieth since 1970 and ``used`` its count; ``past`` has
    the counts of the 60 before it, newest first, 4 bytes each, big-endian, without trailing zeros.
    """

    __tablename__ = "usage"
    # such as "client 192.0.2.7", "client 2001:db8::/64", "account alice"
    subject: Mapped[str] = mapped_column(_exact(160), primary_key=True)
    span: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)  # seconds
    slot: Mapped[int] = mapped_column(BigInteger)
    used: Mapped[int] = mapped_column(Integer)
    past: Mapped[bytes] = mapped_column(
        LargeBinary(240).with_variant(mysql.VARBINARY(240), "mysql", "mariadb")
    )
    refused: Mapped[int] = mapped_column(Integer)  # recipients, since the window was last empty
    until: Mapped[Seconds] = mapped_column(index=True)  # empty from then on, so it may be deleted


class SettledMessageRow(Base):
    """The reply to a message (Postfix ``instance``), for repeats of the request."""

    __tablename__ = "answer"
    # 63 bits of a hash of (instance, protocol_state, recipient): short keys, fast inserts
    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    at: Mapped[Seconds] = mapped_column(index=True)
    action: Mapped[str] = mapped_column(String(1024))


class BatchRow(Base):
    """The messages of one transaction; on SQLite in place of `SettledMessageRow`.

    A row for each message would touch its own page in every commit: four times the work. Here
    rows are only appended; processes keep the last minutes in memory. ``counts`` is ahead of
    `UsageRow` (`store.limits.counters_sqlite`): JSON, from the row id of a window to ``used << 31
    | refused``, or to null if that row was written. NULL: `UsageRow` has all counts so far.
    Other writers of `UsageRow` must fold the log first.
    """

    __tablename__ = "batch"
    id: Mapped[PrimaryKey]
    at: Mapped[Seconds]
    messages: Mapped[bytes] = mapped_column(LargeBinary)  # 8 bytes each, big-endian
    refused: Mapped[str] = mapped_column(Text)  # JSON: message → reply
    counts: Mapped[str | None] = mapped_column(Text)
    # On every database: charges that may be refunded (`store.limits.refund`). `queues` has 8 bytes
    # for each, the message's name, zeros once refunded; `charges` is JSON with a list for each:
    # the amount, the limits and, if not `at`, the time.
    queues: Mapped[bytes | None] = mapped_column(LargeBinary)
    charges: Mapped[str | None] = mapped_column(
        Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
    )


class RefundRequestRow(Base):
    """A message that was not accepted, whose charge, if any, is to be refunded."""

    __tablename__ = "give_back"
    id: Mapped[PrimaryKey]
    queue: Mapped[int] = mapped_column(BigInteger)  # store.limits.refund.name_of
    began: Mapped[Seconds]
    at: Mapped[Seconds]
    looked: Mapped[int] = mapped_column(Integer)  # 1: no charge found so far


class GuessRow(Base):
    """Failed logins of one subject, as the time from which none of them counts."""

    __tablename__ = "guess"
    subject: Mapped[str] = mapped_column(_exact(160), primary_key=True)  # see store.logins.guesses
    full_at: Mapped[Seconds] = mapped_column(index=True)


class OriginRow(Base):
    """A network from which an account has logged in."""

    __tablename__ = "origin"
    id: Mapped[PrimaryKey]
    account_id: Mapped[int] = mapped_column(BigId, ForeignKey("account.id"))
    network: Mapped[str] = mapped_column(_exact(49))
    at: Mapped[Seconds] = mapped_column(index=True)

    __table_args__ = (UniqueConstraint("account_id", "network"),)


class GraduationRow(Base):
    """The state of an account before it graduated, for an undo (R7)."""

    __tablename__ = "graduation"
    id: Mapped[PrimaryKey]
    account_id: Mapped[int] = mapped_column(BigId, ForeignKey("account.id"), index=True)
    at: Mapped[Seconds] = mapped_column(index=True)
    role: Mapped[ShortText]
    mailbox: Mapped[Bytes | None]
    mailbox_until: Mapped[Seconds | None]
    undone_at: Mapped[Seconds | None]


class NoticeRow(Base):
    """A mail to a user, waiting or sent (`store.people.notices`)."""

    __tablename__ = "notice"
    id: Mapped[PrimaryKey]
    recipient: Mapped[Mail]
    subject: Mapped[str] = mapped_column(String(255))
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Seconds]
    sent_at: Mapped[Seconds | None] = mapped_column(index=True)
    kind: Mapped[ShortText | None]
    dedupe: Mapped[str | None] = mapped_column(
        _exact(128), unique=True
    )  # at most one notice for each
    tries: Mapped[int] = mapped_column(Integer, server_default="0")
    next_at: Mapped[Seconds] = mapped_column(server_default="0")
    claimed_until: Mapped[Seconds | None]  # a process is sending it until then
    error: Mapped[str | None] = mapped_column(String(255))
    given_up_at: Mapped[Seconds | None]


class AuditRow(Base):
    """Who changed what, when and why; written in the same transaction as the change."""

    __tablename__ = "audit"
    id: Mapped[PrimaryKey]
    at: Mapped[Seconds] = mapped_column(index=True)
    who: Mapped[Mail]
    action: Mapped[ShortText]  # "account.add", "whitelist.revoke"
    subject: Mapped[Mail]
    why: Mapped[str] = mapped_column(String(255))
    detail: Mapped[str] = mapped_column(Text)  # JSON of the change, never a secret

    __table_args__ = (Index("ix_audit_subject_at", "subject", "at"),)
