"""The limiter's counters, durable before the answer and exact across processes.

Group commit: `Usage.charge` settles a whole batch in one transaction, whose cost
is that of the commit. Three databases, one promise: when `charge` returns, every
verdict is on disk; when it raises `StoreUnavailable`, ask again with the same ids
and nothing is charged twice.

Not for several threads at once: a service gives each `Usage` to one thread. The
copy of the windows (`seen`) may be read by others.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from store.engine import Store
from store.window import (
    Charge,
    Counted,
    Key,
    Verdict,
    Window,
    Word,
    keys_of,
    refusals,
    settle_all,
)

# No message's: `policyd.limiter.message_id` gives none below zero.
PROBE_ID = -1
T = TypeVar("T")
Tx = TypeVar("Tx")  # what a transaction runs on
# Some 400 bytes each: 40 MB at most; a campus has fewer clients in a day.
MAX_SEEN = 100_000
# Postfix asks again 1 s after its timeout, which is 10 s in our main.cf and 100 s by
# default (smtpd_policy_service_timeout). Later than this nobody repeats a question.
ANSWER_SECONDS = 300
# Rows that one transaction forgets: a few milliseconds.
FORGET_ROWS = 500


class Usage(ABC, Generic[Tx]):
    """The counters of one store; here as read, decide, write under locks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # The windows as this process saw them last, for when the store is away.
        self.seen: dict[Key, Window] = {}
        # What the store's clock is ahead of ours.
        self.offset = 0.0

    def charge(self, batch: Sequence[Charge], word: Word) -> list[Verdict]:
        """Settle *batch* in order; *word* makes the text of a refusal.

        Raises `StoreUnavailable`; then nothing of the batch is known to be charged.
        """
        return self._run(lambda tx: self._settle(tx, batch, word))

    def restore(self, entries: Sequence[Counted]) -> None:
        """Add what was accepted while the store was away, where it is not there already.

        Without entries, find out whether the store takes changes. Raises `StoreUnavailable`.
        """
        self._run(lambda tx: self._restore(tx, entries))

    def forget(self) -> int:
        """Forget some of what is over; return how many rows. Raises `StoreUnavailable`."""
        return self._run(lambda tx: self._forget(tx, int(self._now(tx))))

    def cut(self) -> None:
        """Make a call that hangs on a silent server fail. For other threads than that one."""

    @abstractmethod
    def close(self) -> None:
        """Give the connection back."""

    def _settle(self, tx: Tx, batch: Sequence[Charge], word: Word) -> list[Verdict]:
        now = self._now(tx)
        ids = sorted({charge.id for charge in batch if charge.id is not None})
        told = self._claim(tx, ids, int(now))
        windows = self._lock(tx, keys_of(batch), now)
        verdicts = settle_all(batch, windows, told=told, now=now, word=word)
        self._save(tx, windows)
        self._note(tx, [each for each in ids if each not in told], refusals(batch, verdicts))
        return verdicts

    def _restore(self, tx: Tx, entries: Sequence[Counted]) -> None:
        now = self._now(tx)
        if not entries:
            self._probe(tx, int(now))
            return
        ids = sorted({each.charge.id for each in entries if each.charge.id is not None})
        told = self._claim(tx, ids, int(now))
        # Those told to pass were charged by a transaction whose answer never came.
        missing = [each for each in entries if told.get(each.charge.id or -1) != ""]
        windows = self._lock(tx, keys_of([each.charge for each in missing]), now)
        for charge, at in missing:
            for limit in charge.limits:
                windows[limit.subject, limit.span].add_at(at + self.offset, charge.amount)
        self._save(tx, windows)
        # So that trying this again counts nothing twice.
        passed = [(each, "") for each, action in told.items() if action]
        self._note(tx, [each for each in ids if each not in told], passed)

    def _saw(self, windows: Mapping[Key, Window], now: float) -> None:
        """Remember the *windows* of a committed transaction."""
        self.offset = now - time.time()
        if len(self.seen) > MAX_SEEN:
            lasting = sorted(self.seen.items(), key=lambda each: each[1].until)
            self.seen = dict(lasting[MAX_SEEN // 2 :])
        self.seen.update(windows)

    @abstractmethod
    def _run(self, work: Callable[[Tx], T]) -> T:
        """Do *work* in one transaction; all or nothing."""

    @abstractmethod
    def _now(self, tx: Tx) -> float:
        """Return the store's time."""

    @abstractmethod
    def _claim(self, tx: Tx, ids: Sequence[int], at: int) -> dict[int, str]:
        """Make *ids* ours; return what those that came before have been told."""

    @abstractmethod
    def _lock(self, tx: Tx, keys: Sequence[Key], now: float) -> dict[Key, Window]:
        """Return the windows of *keys* (in order), ours alone until the end, moved to *now*."""

    @abstractmethod
    def _save(self, tx: Tx, windows: Mapping[Key, Window]) -> None:
        """Write locked *windows*."""

    @abstractmethod
    def _note(self, tx: Tx, fresh: Sequence[int], said: Sequence[tuple[int, str]]) -> None:
        """Keep for a repeat that *fresh* ids may pass, except what some were *said*."""

    @abstractmethod
    def _probe(self, tx: Tx, now: int) -> None:
        """Write something that means nothing: a full or read-only store can be read."""

    @abstractmethod
    def _forget(self, tx: Tx, now: int) -> int:
        """Forget at most `FORGET_ROWS` empty windows and as many old answers."""


def open_usage(store: Store) -> Usage[Any]:
    """Return the counters in *store*; connects on first use."""
    # Imported here, so that a site's database is the only one that loads.
    if store.dialect == "sqlite":
        from store.usage_sqlite import SqliteUsage

        return SqliteUsage(store)
    if store.dialect == "postgresql":
        from store.usage_postgresql import PostgresUsage

        return PostgresUsage(store)
    from store.usage_mariadb import MariaUsage

    return MariaUsage(store)
