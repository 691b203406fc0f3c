"""counts in batches

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. NULL is true of the rows there are: `usage` holds all they charged."""
    op.add_column("batch", sa.Column("counts", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take back. What policyd logged and did not fold (a second at most) is not counted."""
    op.drop_column("batch", "counts")
