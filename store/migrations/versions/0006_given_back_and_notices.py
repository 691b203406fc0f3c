"""what was never accepted is given back; notices are claimed, tried again and given up

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# 500 charges of a transaction are more than the 64 KiB of MariaDB's TEXT.
_LONG = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
_KEY = sa.String(128).with_variant(
    mysql.VARCHAR(128, collation="utf8mb4_nopad_bin"), "mysql", "mariadb"
)


def upgrade() -> None:
    """Apply."""
    op.add_column("batch", sa.Column("queues", sa.LargeBinary(), nullable=True))
    op.add_column("batch", sa.Column("charges", _LONG, nullable=True))
    op.create_table(
        "give_back",
        sa.Column("id", _ID, nullable=False),
        sa.Column("queue", sa.BigInteger(), nullable=False),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("looked", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_give_back")),
    )
    with op.batch_alter_table("notice") as notice:
        notice.add_column(sa.Column("kind", sa.String(32), nullable=True))
        notice.add_column(sa.Column("dedupe", _KEY, nullable=True))
        notice.add_column(sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
        notice.add_column(sa.Column("next_at", sa.BigInteger(), nullable=False, server_default="0"))
        notice.add_column(sa.Column("claimed_until", sa.BigInteger(), nullable=True))
        notice.add_column(sa.Column("error", sa.String(255), nullable=True))
        notice.add_column(sa.Column("given_up_at", sa.BigInteger(), nullable=True))
        notice.create_unique_constraint(op.f("uq_notice_dedupe"), ["dedupe"])
    op.execute("UPDATE notice SET kind = 'graduated'")  # the only kind there was


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("notice") as notice:
        notice.drop_constraint(op.f("uq_notice_dedupe"), type_="unique")
        for column in (
            "given_up_at", "error", "claimed_until", "next_at", "tries", "dedupe", "kind",
        ):  # fmt: skip
            notice.drop_column(column)
    op.drop_table("give_back")
    with op.batch_alter_table("batch") as batch:
        batch.drop_column("charges")
        batch.drop_column("queues")
