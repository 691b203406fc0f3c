"""Take the number that makes the services' memory copies see a change."""

from sqlalchemy import update
from sqlalchemy.orm import Session

from store import changed
from store.models import Revision


def advance(session: Session) -> int:
    """Take the next revision for the change in *session*.

    The row stays locked until commit, so revisions become visible in order: a
    reader that has seen N has seen every change up to N.
    """
    ours = Revision.id == changed.REVISION_ROW
    session.execute(update(Revision).where(ours).values(value=Revision.value + 1))
    return changed.revision(session.connection())
