"""The number of the last change that the services' memory copies must see."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from store.models import Revision

_ROW = 1


def advance(session: Session) -> int:
    """Take the next revision for the change in *session*.

    The row stays locked until commit, so revisions become visible in order: a
    reader that has seen N has seen every change up to N.
    """
    session.execute(update(Revision).where(Revision.id == _ROW).values(value=Revision.value + 1))
    return current(session)


def current(session: Session) -> int:
    """Return the last revision, 0 in a new store."""
    return session.scalar(select(Revision.value).where(Revision.id == _ROW)) or 0
