"""Which users' processes may ask a service, by the kernel's word on who connected.

A path's permissions admit a whole group; SO_PEERCRED (unix(7)) names the one user of the peer,
which cannot be forged. Root may always ask, and so may the user of the service itself: both can
read anyway what an answer would reveal.
"""

import logging
import os
import pwd
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

from config.daemon.events import event

log = logging.getLogger(__name__)

_UCRED = struct.Struct("iII")  # pid, uid, gid
_ROOT = 0
# Refused users that are counted and logged, once each. A machine has a handful that could ask.
MAX_NAMED = 100


class Callers:
    """The users who may ask, and a count of the others who tried."""

    def __init__(self, users: Iterable[str]) -> None:
        self.refused: Counter[int] = Counter()  # by uid
        self._uids: frozenset[int] = frozenset()
        self.allow(users)

    def allow(self, users: Iterable[str]) -> None:
        """Let only these *users*, names or numbers, ask from now on."""
        uids = {_ROOT, os.geteuid()}
        for user in users:
            try:
                uids.add(int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid)
            except KeyError:
                log.warning(event("no-such-user", user=user, reason="named in the list of callers"))
        self._uids = frozenset(uids)

    def admits(self, uid: int) -> bool:
        """Return whether *uid* may ask; count a refusal, and log the first for each user."""
        if uid in self._uids:
            return True
        if uid in self.refused or len(self.refused) < MAX_NAMED:
            self.refused[uid] += 1
            if self.refused[uid] == 1:
                log.warning(event("caller-refused", uid=uid, user=_name(uid)))
        return False


def uid_of(peer: socket.socket) -> int:
    """Return the user at the other end of a unix socket; for other sockets, 2**32 - 1."""
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    uid: int = _UCRED.unpack(raw)[1]
    return uid


def _name(uid: int) -> str | None:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return None
