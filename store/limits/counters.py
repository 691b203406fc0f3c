"""The counters of the sending limits: durable before the answer, exact across processes.

Group commit: `Counters.charge` settles a whole batch in one transaction, at the cost of one
commit. On every database, all results are on disk when `charge` returns. If it raises
`StoreUnavailable`, charging again with the same ids counts nothing twice.

Not thread-safe: each `Counters` belongs to one thread. Others may read `Counters.seen`.
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
# The id of no message: those of `policyd.rules.sending.message_id` are never negative.
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
# How much the clocks of machines that share a store may differ, and rounding.
MARGIN_SECONDS = 10
# Refund requests that one transaction handles.
REFUND_ROWS = 500
# Rows of each kind deleted in one transaction: a few milliseconds.
EXPIRY_ROWS = 500

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
_DELETE_BATCHES = "DELETE FROM batch WHERE id <= ?"
_DELETE_REQUESTS = "DELETE FROM give_back WHERE at <= ?"


class Counters(ABC, Generic[Tx]):
    """The counters of one store; by default read, decide and write under locks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # The windows as this process last saw them, for when the store is unavailable.
        self.seen: dict[Key, Window] = {}
        self.offset = 0.0  # seconds by which the store's clock is ahead of this machine's
        # Charges of the running transaction that may be refunded, and their times if not now.
        self._charged: Sequence[Charge] = ()
        self._when: Sequence[int] = ()

    def charge(self, batch: Sequence[Charge], text: RefusalText) -> list[ChargeResult]:
        """Settle *batch* in order; *text* makes the text of a refusal.

        Raises `StoreUnavailable`; the batch may then be charged or not.
        """
        return self._run(lambda tx: self._settle(tx, batch, text))

    def restore(self, entries: Sequence[LocalCharge]) -> None:
        """Add the charges accepted while the store was unavailable, each once.

        Without entries, find out whether the store can be written. Raises `StoreUnavailable`.
        """
        self._run(lambda tx: self._restore(tx, entries))

    def has_refund_requests(self) -> bool:
        """Return whether a refund is requested. Raises `StoreUnavailable`."""
        with self._store.connection() as connection:
            return connection.exec_driver_sql(_IS_REQUESTED).first() is not None

    def refund(self, *, since: float | None = None) -> int:
        """Refund charges of messages that were not accepted; return how many.

        Requests made *since* then that found no charge are tried again: the charge may have
        been a local one, written only now. Raises `StoreUnavailable`.
        """
        return self._run(lambda tx: self._refund(tx, since))

    def delete_expired(self) -> "Deleted":
        """Delete some expired rows; return how many. Raises `StoreUnavailable`."""
        return self._run(lambda tx: self._delete_expired(tx, int(self._now(tx))))

    def abort_connections(self) -> None:
        """Make a call that hangs on a silent server fail; called from another thread."""

    @abstractmethod
    def close(self) -> None:
        """Release the connection."""

    def _settle(self, tx: Tx, batch: Sequence[Charge], text: RefusalText) -> list[ChargeResult]:
        now = self._now(tx)
        ids = sorted({charge.id for charge in batch if charge.id is not None})
        prior = self._claim(tx, ids, int(now))
        windows = self._lock(tx, keys_of(batch), now)
        results = settle_all(batch, windows, prior=prior, now=now, text=text)
        self._save(tx, windows)
        self._charged, self._when = charges_made(batch, results), ()
        self._note(tx, [each for each in ids if each not in prior], refusals(batch, results))
        return results

    def _restore(self, tx: Tx, entries: Sequence[LocalCharge]) -> None:
        now = self._now(tx)
        if not entries:
            self._probe(tx, int(now))
            return
        ids = sorted({each.charge.id for each in entries if each.charge.id is not None})
        prior = self._claim(tx, ids, int(now))
        # An id that passed was charged by a transaction whose reply was lost.
        missing = [each for each in entries if prior.get(each.charge.id or -1) != ""]
        windows = self._lock(tx, keys_of([each.charge for each in missing]), now)
        for charge, at in missing:
            for limit in charge.limits:
                windows[limit.subject, limit.span].add_at(at + self.offset, charge.amount)
        self._save(tx, windows)
        named = [each for each in missing if each.charge.queue is not None]
        self._charged = [each.charge for each in named]
        self._when = [int(each.at + self.offset) for each in named]
        # So that a retry of this counts nothing twice.
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
        """Remove and return the charges of *name* made between *first* and *last*."""
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

    def _delete_old_batches(self, tx: Tx, now: int) -> int:
        """Delete some batches and requests that are too old for a refund."""
        old = now - CHARGED_SECONDS
        rows = [row for row, at in self._sql(tx, _OLDEST, (EXPIRY_ROWS,)) if at <= old]
        if rows:
            self._sql(tx, _DELETE_BATCHES, (max(rows),))
        self._sql(tx, _DELETE_REQUESTS, (old,))
        return len(rows)

    def _saw(self, windows: Mapping[Key, Window], now: float) -> None:
        """Remember the *windows* of a committed transaction."""
        self.offset = now - time.time()
        if len(self.seen) > MAX_SEEN:
            lasting = sorted(self.seen.items(), key=lambda each: each[1].until)
            self.seen = dict(lasting[MAX_SEEN // 2 :])
        self.seen.update(windows)

    _find: str  # query for the batches after one that hold a name, newest first
    _skip = ""  # how a locking query ends

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
        """Lock the windows of *keys*, in that order, and return them moved to *now*."""

    @abstractmethod
    def _save(self, tx: Tx, windows: Mapping[Key, Window]) -> None:
        """Write locked *windows*."""

    @abstractmethod
    def _note(self, tx: Tx, fresh: Sequence[int], replies: Sequence[tuple[int, str]]) -> None:
        """Record for repeats that *fresh* ids pass, except those refused in *replies*."""

    @abstractmethod
    def _probe(self, tx: Tx, now: int) -> None:
        """Write something meaningless: a full or read-only store can still be read."""

    @abstractmethod
    def _delete_expired(self, tx: Tx, now: int) -> "Deleted":
        """Delete at most `EXPIRY_ROWS` of each kind."""


class Deleted(NamedTuple):
    """How many expired rows were deleted."""

    windows: int = 0
    answers: int = 0
    batches: int = 0


class _Refund(NamedTuple):
    """A charge that is being refunded."""

    amount: int
    limits: tuple[Limit, ...]
    at: int


def charges_made(batch: Sequence[Charge], results: Sequence[ChargeResult]) -> list[Charge]:
    """Return the charges just made that have a name."""
    return [
        charge
        for charge, result in zip(batch, results, strict=True)
        if charge.queue is not None and result.accepted and not result.repeated
    ]


def pack_charges(
    charges: Sequence[Charge], when: Sequence[int] = ()
) -> tuple[bytes | None, str | None]:
    """Return *charges* as the columns ``queues`` and ``charges`` hold them."""
    if not charges:
        return None, None
    # Whole limits: picking fields takes longer than writing them all.
    rows: list[tuple[object, ...]] = [(each.amount, each.limits) for each in charges]
    if when:
        rows = [(*row, at) for row, at in zip(rows, when, strict=True)]
    return b"".join([each.queue or b"" for each in charges]), _compact(rows)
