"""Passwords checked recently, kept as keyed hashes in memory only.

A phone that polls every minute need not cost an Argon2 each time, and one that keeps
sending an old password is neither hashed nor counted as a guess again. The key is made
at start and never leaves the process. A digest covers the stored hash, so any change of
the password is a miss at once: nothing has to be invalidated.
"""

import hashlib
import os
import threading

from config.units import UnixSeconds

# About 10 MiB each at 100 bytes an entry: every phone of a campus of 50,000, twice.
MAX_RIGHT = 100_000
MAX_WRONG = 100_000
REPEAT_SECONDS = 3600  # a forgotten phone repeats its old password within this


class PasswordCache:
    """The outcome of recent attempts. Safe in many threads."""

    def __init__(self, *, right_seconds: int) -> None:
        """Remember right passwords for *right_seconds*."""
        self._key = os.urandom(hashlib.blake2b.MAX_KEY_SIZE)
        self._right = _RecentDigests(right_seconds, MAX_RIGHT)
        self._wrong = _RecentDigests(REPEAT_SECONDS, MAX_WRONG)

    def remember_right(self, seconds: int) -> None:
        """Remember right passwords, also those known already, for *seconds*; 0 is never."""
        self._right.seconds = seconds

    def digest(self, name: str, stored: str, password: str) -> bytes:
        """Return the key of one attempt on one stored hash."""
        text = f"{name}\0{stored}\0{password}".encode("utf-8", "surrogateescape")
        return hashlib.blake2b(text, key=self._key, digest_size=16).digest()

    def was_right(self, digest: bytes, *, now: UnixSeconds) -> bool:
        """Return whether this very attempt was right a short time ago."""
        return self._right.holds(digest, now)

    def was_wrong(self, digest: bytes, *, now: UnixSeconds) -> bool:
        """Return whether this very attempt was wrong a short time ago."""
        return self._wrong.holds(digest, now)

    def note(self, digest: bytes, *, right: bool, now: UnixSeconds) -> None:
        """Remember the outcome of an attempt."""
        (self._right if right else self._wrong).add(digest, now)


class _RecentDigests:
    """Digests, each for some seconds. The oldest goes when there are too many."""

    def __init__(self, seconds: int, limit: int) -> None:
        self.seconds = seconds
        self._limit = limit
        self._at: dict[bytes, UnixSeconds] = {}
        self._lock = threading.Lock()

    def holds(self, digest: bytes, now: UnixSeconds) -> bool:
        return now < self._at.get(digest, -self.seconds) + self.seconds

    def add(self, digest: bytes, now: UnixSeconds) -> None:
        if not self.seconds:
            return
        with self._lock:
            self._at.pop(digest, None)  # to the end: the oldest stays first
            self._at[digest] = now
            if len(self._at) > self._limit:
                del self._at[next(iter(self._at))]
