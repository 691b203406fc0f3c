"""The number by which the services' memory copies see a change. Without the ORM.

Two of three services need only the core of SQLAlchemy: the ORM and `store.models` would cost each
8 MiB.
"""

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Connection, column, select, table, update

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

REVISION_ROW = 1
REVISION = table("revision", column("id", BigInteger), column("value"))


def advance(session: "Session") -> int:
    """Take the next revision for the change in *session*.

    The row stays locked until commit, so revisions become visible in order: a
    reader that has seen N has seen every change up to N.
    """
    ours = REVISION.c.id == REVISION_ROW
    session.execute(update(REVISION).where(ours).values(value=REVISION.c.value + 1))
    return revision(session.connection())


def revision(connection: Connection) -> int:
    """Return the store's last revision, 0 in a new store."""
    query = select(REVISION.c.value).where(REVISION.c.id == REVISION_ROW)
    return connection.scalar(query) or 0
