"""The limiter's counters, durable before the answer and exact across processes.

Group commit: `Usage.charge` settles a whole batch in one transaction, whose cost
is that of the commit. Three databases, one promise: when `charge` returns, every
result is on disk; when it raises `StoreUnavailable`, ask again with the same ids
and nothing is charged twice.

Not for several threads at once: a service gives each `Usage` to one thread. The
copy of the windows (`seen`) may be read by others.
"""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from store.engine import Store
from store.limits.refund import NAME_BYTES, name_from
from store.limits.window import (
    Charge,
    ChargeResult,
    Key,
    Limit,
    LocalCharge,
    RefusalText,
    Window,
    keys_of,
    refusals,
    settle_all,
)

_compact = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
# No message's: `policyd.rules.sending.message_id` gives none below zero.
PROBE_ID = -1
T = TypeVar("T")
Tx = TypeVar("Tx")  # what a transaction runs on
# Some 400 bytes each: 40 MB at most; a campus has fewer clients in a day.
MAX_SEEN = 100_000
# Postfix repeats a request 1 s after its timeout, which is 10 s in our main.cf and 100 s by
# default (smtpd_policy_service_timeout). Later than this no request is a repeat.
ANSWER_SECONDS = 300
# How long a charge can be refunded: the 717 MB that a message may have take 1.6 h at 1 Mbit/s.
CHARGED_SECONDS = 3 * 3600
# What the clocks of the machines that share a store may differ by, and rounding.
MARGIN_SECONDS = 10
# Refund requests that one transaction handles.
REFUND_ROWS = 500
# Rows that one transaction forgets: a few milliseconds.
FORGET_ROWS = 500


_IS_REQUESTED = "SELECT 1 FROM give_back WHERE looked = 0 LIMIT 1"
_REQUESTED = "SELECT id, queue, began, at FROM give_back WHERE looked = 0 ORDER BY id LIMIT ?"
_AGAIN = "UPDATE give_back SET looked = 0 WHERE at >= ?"
_LOOKED = "UPDATE give_back SET looked = 1 WHERE id = ?"
_DONE = "DELETE FROM give_back WHERE id = ?"
_BEFORE = "SELECT id FROM batch WHERE at < ? ORDER BY id DESC LIMIT 1"
_TAKE_OUT = "UPDATE batch SET queues = ? WHERE id = ?"
# Usage that an operator has reset since (store.limits.reset) holds no charge to refund.
_RESET = "SELECT 1 FROM audit WHERE subject = ? AND at >= ? AND action = 'limit.reset' LIMIT 1"
_OLDEST = "SELECT id, at FROM batch ORDER BY id LIMIT ?"
_FORGET_CHARGED = "DELETE FROM batch WHERE id <= ?"
_FORGET_ASKED = "DELETE FROM give_back WHERE at <= ?"


class Counters(ABC, Generic[Tx]):
    """The counters of one store; here as read, decide, write under locks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # The windows as this process saw them last, for when the store is away.
        self.seen: dict[Key, Window] = {}
        # What the store's clock is ahead of ours.
        self.offset = 0.0
        # Charges of the running transaction that may be refunded, and their times if not now.
        self._charged: Sequence[Charge] = ()
        self._when: Sequence[int] = ()

    def charge(self, batch: Sequence[Charge], text: RefusalText) -> list[ChargeResult]:
        """Settle *batch* in order; *text* makes the text of a refusal.

        Raises `StoreUnavailable`; then nothing of the batch is known to be charged.
        """
        return self._run(lambda tx: self._settle(tx, batch, text))

    def restore(self, entries: Sequence[LocalCharge]) -> None:
        """Add what was accepted while the store was away, where it is not there already.

        Without entries, find out whether the store takes changes. Raises `StoreUnavailable`.
        """
        self._run(lambda tx: self._restore(tx, entries))

    def has_refund_requests(self) -> bool:
        """Return whether a refund is requested. Raises `StoreUnavailable`."""
        with self._store.connection() as connection:
            return connection.exec_driver_sql(_IS_REQUESTED).first() is not None

    def refund(self, *, since: float | None = None) -> int:
        """Take back charges of messages that were not accepted; return how many.

        Those that asked *since* and were not found are looked for again: their charge may
        have come only now, from a time without the store. Raises `StoreUnavailable`.
        """
        return self._run(lambda tx: self._refund(tx, since))

    def forget(self) -> "Forgotten":
        """Delete some expired rows; return how many. Raises `StoreUnavailable`."""
        return self._run(lambda tx: self._forget(tx, int(self._now(tx))))

    def abort_connections(self) -> None:
        """Make a call that hangs on a silent server fail. For other threads than that one."""

    @abstractmethod
    def close(self) -> None:
        """Give the connection back."""

    def _settle(self, tx: Tx, batch: Sequence[Charge], text: RefusalText) -> list[ChargeResult]:
        now = self._now(tx)
        ids = sorted({charge.id for charge in batch if charge.id is not None})
        prior = self._claim(tx, ids, int(now))
        windows = self._lock(tx, keys_of(batch), now)
        results = settle_all(batch, windows, prior=prior, now=now, text=text)
        self._save(tx, windows)
        self._charged, self._when = charged(batch, results), ()
        self._note(tx, [each for each in ids if each not in prior], refusals(batch, results))
        return results

    def _restore(self, tx: Tx, entries: Sequence[LocalCharge]) -> None:
        now = self._now(tx)
        if not entries:
            self._probe(tx, int(now))
            return
        ids = sorted({each.charge.id for each in entries if each.charge.id is not None})
        prior = self._claim(tx, ids, int(now))
        # Those that passed were charged by a transaction whose reply was lost.
        missing = [each for each in entries if prior.get(each.charge.id or -1) != ""]
        windows = self._lock(tx, keys_of([each.charge for each in missing]), now)
        for charge, at in missing:
            for limit in charge.limits:
                windows[limit.subject, limit.span].add_at(at + self.offset, charge.amount)
        self._save(tx, windows)
        named = [each for each in missing if each.charge.queue is not None]
        self._charged = [each.charge for each in named]
        self._when = [int(each.at + self.offset) for each in named]
        # So that trying this again counts nothing twice.
        passed = [(each, "") for each, action in prior.items() if action]
        self._note(tx, [each for each in ids if each not in prior], passed)

    def _refund(self, tx: Tx, since: float | None) -> int:
        now = self._now(tx)
        if since is not None:
            self._sql(tx, _AGAIN, (int(since + self.offset) - MARGIN_SECONDS,))
        found: list[_Refund] = []
        for row, queue, began, at in self._sql(tx, _REQUESTED + self._skip, (REFUND_ROWS,)):
            mine = self._take_out(tx, name_from(queue), began - MARGIN_SECONDS, at + MARGIN_SECONDS)
            self._sql(tx, _DONE if mine else _LOOKED, (row,))
            found += mine
        self._charged = ()
        windows = self._lock(tx, sorted({lim[:2] for each in found for lim in each.limits}), now)
        for each in found:
            for subject, span, _ in each.limits:
                if not self._sql(tx, _RESET, (subject, each.at)):
                    windows[subject, span].take_back(each.at, each.amount)
        if windows:
            self._save(tx, windows)
            self._note(tx, (), ())
        return len(found)

    def _take_out(self, tx: Tx, name: bytes, first: int, last: int) -> list["_Refund"]:
        """Return the charges of *name* between *first* and *last*, and have them no more."""
        before = self._sql(tx, _BEFORE, (first,))
        found = []
        for row, at, queues, charges in self._sql(
            tx, self._find, (before[0][0] if before else 0, name)
        ):
            names = bytearray(queues)
            for place, (amount, limits, *times) in enumerate(json.loads(charges)):
                here = slice(NAME_BYTES * place, NAME_BYTES * (place + 1))
                when = times[0] if times else at
                if names[here] == name and first <= when <= last:
                    names[here] = bytes(NAME_BYTES)
                    found.append(_Refund(amount, tuple(Limit(*each) for each in limits), when))
            self._sql(tx, _TAKE_OUT, (bytes(names), row))
        return found

    def _forget_charged(self, tx: Tx, now: int) -> int:
        """Forget some batches, and messages, that nobody will ask back any more."""
        old = now - CHARGED_SECONDS
        rows = [row for row, at in self._sql(tx, _OLDEST, (FORGET_ROWS,)) if at <= old]
        if rows:
            self._sql(tx, _FORGET_CHARGED, (max(rows),))
        self._sql(tx, _FORGET_ASKED, (old,))
        return len(rows)

    def _saw(self, windows: Mapping[Key, Window], now: float) -> None:
        """Remember the *windows* of a committed transaction."""
        self.offset = now - time.time()
        if len(self.seen) > MAX_SEEN:
            lasting = sorted(self.seen.items(), key=lambda each: each[1].until)
            self.seen = dict(lasting[MAX_SEEN // 2 :])
        self.seen.update(windows)

    # Finds the batches after one that hold a name, newest first; ends of queries that lock.
    _find: str
    _skip = ""

    @abstractmethod
    def _sql(self, tx: Tx, query: str, values: tuple[Any, ...]) -> Sequence[Sequence[Any]]:
        """Run *query*, with ``?`` for each of *values*; return its rows, if any."""

    @abstractmethod
    def _run(self, work: Callable[[Tx], T]) -> T:
        """Do *work* in one transaction; all or nothing."""

    @abstractmethod
    def _now(self, tx: Tx) -> float:
        """Return the store's time."""

    @abstractmethod
    def _claim(self, tx: Tx, ids: Sequence[int], at: int) -> dict[int, str]:
        """Claim *ids*; return the replies to those that were claimed before."""

    @abstractmethod
    def _lock(self, tx: Tx, keys: Sequence[Key], now: float) -> dict[Key, Window]:
        """Return the windows of *keys* (in order), ours alone until the end, moved to *now*."""

    @abstractmethod
    def _save(self, tx: Tx, windows: Mapping[Key, Window]) -> None:
        """Write locked *windows*."""

    @abstractmethod
    def _note(self, tx: Tx, fresh: Sequence[int], replies: Sequence[tuple[int, str]]) -> None:
        """Keep for repeats: *fresh* ids pass, except those with a refusal in *replies*."""

    @abstractmethod
    def _probe(self, tx: Tx, now: int) -> None:
        """Write something that means nothing: a full or read-only store can be read."""

    @abstractmethod
    def _forget(self, tx: Tx, now: int) -> "Forgotten":
        """Delete at most `FORGET_ROWS` of each kind."""


class Forgotten(NamedTuple):
    """How many expired rows were deleted."""

    windows: int = 0
    answers: int = 0
    batches: int = 0


class _Refund(NamedTuple):
    """A charge that is being refunded."""

    amount: int
    limits: tuple[Limit, ...]
    at: int


def charged(batch: Sequence[Charge], results: Sequence[ChargeResult]) -> list[Charge]:
    """Return what was charged just now and has a name."""
    return [
        charge
        for charge, result in zip(batch, results, strict=True)
        if charge.queue is not None and result.accepted and not result.repeated
    ]


def packed(charges: Sequence[Charge], when: Sequence[int] = ()) -> tuple[bytes | None, str | None]:
    """Return *charges* as the columns ``queues`` and ``charges`` hold them."""
    if not charges:
        return None, None
    # Whole limits, as they are: to pick from them takes longer than to write them.
    rows: list[tuple[object, ...]] = [(each.amount, each.limits) for each in charges]
    if when:
        rows = [(*row, at) for row, at in zip(rows, when, strict=True)]
    return b"".join([each.queue or b"" for each in charges]), _compact(rows)
