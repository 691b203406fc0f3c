"""the first tables

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "account",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "name",
            sa.String(length=128)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=128), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=128), "mysql"),
            nullable=False,
        ),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("condition", sa.String(length=32), nullable=False),
        sa.Column("password", sa.String(length=512), nullable=True),
        sa.Column("initial", sa.Boolean(), nullable=False),
        sa.Column("identity", sa.String(length=128), nullable=True),
        sa.Column(
            "second_mailbox",
            sa.String(length=320)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=320), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=320), "mysql"),
            nullable=True,
        ),
        sa.Column("mailbox", sa.BigInteger(), nullable=True),
        sa.Column("mailbox_until", sa.BigInteger(), nullable=True),
        sa.Column("attachments", sa.BigInteger(), nullable=True),
        sa.Column("attachments_until", sa.BigInteger(), nullable=True),
        sa.Column("send", sa.String(length=255), nullable=True),
        sa.Column("send_until", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("name", name=op.f("uq_account_name")),
    )
    with op.batch_alter_table("account", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_account_rev"), ["rev"], unique=False)

    op.create_table(
        "answer",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=1024), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_answer")),
    )
    with op.batch_alter_table("answer", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_answer_at"), ["at"], unique=False)

    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column(
            "who",
            sa.String(length=320)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=320), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=320), "mysql"),
            nullable=False,
        ),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column(
            "subject",
            sa.String(length=320)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=320), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=320), "mysql"),
            nullable=False,
        ),
        sa.Column("why", sa.String(length=255), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_at"), ["at"], unique=False)
        batch_op.create_index("ix_audit_subject_at", ["subject", "at"], unique=False)

    op.create_table(
        "revision",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revision")),
    )
    op.create_table(
        "usage",
        sa.Column(
            "subject",
            sa.String(length=160)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=160), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=160), "mysql"),
            nullable=False,
        ),
        sa.Column("span", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("slot", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column(
            "past",
            sa.LargeBinary(length=240)
            .with_variant(mysql.VARBINARY(length=240), "mariadb")
            .with_variant(mysql.VARBINARY(length=240), "mysql"),
            nullable=False,
        ),
        sa.Column("refused", sa.Integer(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", "span", name=op.f("pk_usage")),
    )
    with op.batch_alter_table("usage", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_usage_until"), ["until"], unique=False)

    op.create_table(
        "whitelist",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("network", sa.String(length=49), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(length=255), nullable=False),
        sa.Column(
            "who",
            sa.String(length=320)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=320), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=320), "mysql"),
            nullable=False,
        ),
        sa.Column("rev", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_whitelist")),
    )
    with op.batch_alter_table("whitelist", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_whitelist_expires_at"), ["expires_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_whitelist_network"), ["network"], unique=False)
        batch_op.create_index(batch_op.f("ix_whitelist_rev"), ["rev"], unique=False)

    op.create_table(
        "address",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "name",
            sa.String(length=320)
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=320), "mariadb")
            .with_variant(mysql.VARCHAR(collation="utf8mb4_nopad_bin", length=320), "mysql"),
            nullable=False,
        ),
        sa.Column(
            "account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_address_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address")),
        sa.UniqueConstraint("name", name=op.f("uq_address_name")),
    )
    with op.batch_alter_table("address", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_address_account_id"), ["account_id"], unique=False)

    op.create_table(
        "password_event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("how", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_password_event_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_password_event")),
    )
    with op.batch_alter_table("password_event", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_password_event_account_id"), ["account_id"], unique=False
        )

    op.create_table(
        "suspension",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column(
            "account_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("scope", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_suspension_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_suspension")),
    )
    with op.batch_alter_table("suspension", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_suspension_account_id"), ["account_id"], unique=False)

    revision_table = sa.table("revision", sa.column("id"), sa.column("value"))
    op.bulk_insert(revision_table, [{"id": 1, "value": 0}])


def downgrade() -> None:
    """Undo."""
    for table in (
        "suspension",
        "password_event",
        "address",
        "whitelist",
        "usage",
        "revision",
        "audit",
        "answer",
        "account",
    ):
        op.drop_table(table)
