"""guesses, origins, graduations, notices

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _exact(length: int) -> sa.String:
    binary = mysql.VARCHAR(length, collation="utf8mb4_nopad_bin")
    return sa.String(length).with_variant(binary, "mysql", "mariadb")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "guess",
        sa.Column("subject", _exact(160), nullable=False),
        sa.Column("full_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_guess")),
    )
    op.create_index(op.f("ix_guess_full_at"), "guess", ["full_at"])
    op.create_table(
        "origin",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("network", _exact(49), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_origin_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_origin")),
        sa.UniqueConstraint("account_id", "network", name=op.f("uq_origin_account_id_network")),
    )
    op.create_index(op.f("ix_origin_at"), "origin", ["at"])
    op.create_table(
        "graduation",
        sa.Column("id", _ID, nullable=False),
        sa.Column("account_id", _ID, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("mailbox", sa.BigInteger(), nullable=True),
        sa.Column("mailbox_until", sa.BigInteger(), nullable=True),
        sa.Column("undone_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_graduation_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_graduation")),
    )
    op.create_index(op.f("ix_graduation_account_id"), "graduation", ["account_id"])
    op.create_index(op.f("ix_graduation_at"), "graduation", ["at"])
    op.create_table(
        "notice",
        sa.Column("id", _ID, nullable=False),
        sa.Column("recipient", _exact(320), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
    )
    op.create_index(op.f("ix_notice_sent_at"), "notice", ["sent_at"])


def downgrade() -> None:
    """Take back."""
    # With their indexes: MariaDB drops no index that a foreign key uses.
    for table in ("notice", "graduation", "origin", "guess"):
        op.drop_table(table)
