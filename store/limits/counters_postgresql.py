"""The counters in PostgreSQL: one set-based statement a batch.

The statement claims the ids of the batch and charges its totals, moving each row's slots in SQL;
its row locks hold until commit. A second statement takes off refusals and repeats before the
commit makes anything visible. Rows are always locked in the order of their keys, so processes
wait for each other but never deadlock.

"Now" is the database's time of the statement: the clocks of the machines need not agree.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from socket import SHUT_RDWR, socket
from typing import Any, TypeVar
from weakref import WeakSet

import psycopg
from sqlalchemy import Connection, event

from store.engine import Store
from store.limits.counters import ANSWER_SECONDS, EXPIRY_ROWS, Deleted, charges_made, pack_charges
from store.limits.counters_server import ServerCounters
from store.limits.window import (
    JITTER_SECONDS,
    PAST_BYTES,
    SLOT_BYTES,
    SLOTS,
    Charge,
    ChargeResult,
    Key,
    RefusalText,
    Window,
    keys_of,
    refusals,
    settle_all,
)

T = TypeVar("T")
_NOW = "extract(epoch FROM statement_timestamp())::float8"
_CHARGE = f"""
WITH claimed AS (
  INSERT INTO answer (id, at, action)
  SELECT id, {_NOW}::bigint, '' FROM unnest(%s::bigint[]) AS ids(id) ORDER BY id
  ON CONFLICT DO NOTHING RETURNING id
), charged AS (
  INSERT INTO usage AS held (subject, span, slot, used, past, refused, until)
  SELECT subject, span, slot, amount, ''::bytea, 0, ceil((slot + {SLOTS + 1}) * span / {SLOTS}.0)
  FROM (SELECT subject, span, amount, floor({_NOW} * {SLOTS} / span)::bigint AS slot
        FROM unnest(%s::text[], %s::int[], %s::int[]) AS asked(subject, span, amount)) AS timed
  ORDER BY subject COLLATE "C", span
  ON CONFLICT (subject, span) DO UPDATE SET
    slot = CASE WHEN held.slot - excluded.slot
                  BETWEEN 1 AND 1 + ceil({JITTER_SECONDS * SLOTS}.0 / held.span)
                THEN held.slot ELSE excluded.slot END,
    used = CASE WHEN excluded.slot > held.slot THEN excluded.used
                ELSE held.used + excluded.used END,
    past = CASE WHEN excluded.slot <= held.slot THEN held.past
                WHEN excluded.slot - held.slot > {SLOTS} THEN ''::bytea
                ELSE substring(
                  substring(decode(repeat('00', {PAST_BYTES}), 'hex')
                            FROM 1 FOR {SLOT_BYTES} * (excluded.slot - held.slot - 1)::int)
                  || int4send(held.used) || held.past FROM 1 FOR {PAST_BYTES}) END,
    refused = CASE WHEN excluded.slot - held.slot > {SLOTS} THEN 0 ELSE held.refused END,
    until = CASE WHEN held.slot - excluded.slot
                   BETWEEN 0 AND 1 + ceil({JITTER_SECONDS * SLOTS}.0 / held.span)
                 THEN held.until ELSE excluded.until END
  RETURNING subject, span, slot, used, past, refused
), noted AS (
  INSERT INTO batch (at, messages, refused, queues, charges)
  SELECT floor({_NOW})::bigint, ''::bytea, '{{}}', queues, charges
  FROM (SELECT %s::bytea, %s::text) AS given(queues, charges) WHERE queues IS NOT NULL
  RETURNING id
)
SELECT charged.*, {_NOW}, (SELECT count(*) FROM claimed), (SELECT id FROM noted) FROM charged
"""  # noqa: S608 - constants; text from outside is bound
_CORRECT = """
UPDATE usage SET used = usage.used - wrong.used, refused = usage.refused + wrong.refused
FROM unnest(%s::text[], %s::int[], %s::int[], %s::int[]) AS wrong(subject, span, used, refused)
WHERE usage.subject = wrong.subject AND usage.span = wrong.span
"""
# Only rows of other transactions: those claimed by this one have no reply yet.
_PRIOR = """
SELECT id, action FROM answer
WHERE id = ANY(%s::bigint[]) AND xmin <> pg_current_xact_id()::xid
"""
_REWORD = """
UPDATE answer SET action = replies.action
FROM unnest(%s::bigint[], %s::text[]) AS replies(id, action) WHERE answer.id = replies.id
"""
_CLAIM = """
INSERT INTO answer (id, at, action)
SELECT id, %s, '' FROM unnest(%s::bigint[]) AS ids(id) ORDER BY id
ON CONFLICT DO NOTHING
"""
_CHARGED = (
    "INSERT INTO batch (at, messages, refused, queues, charges) VALUES (%s, '', '{}', %s, %s)"
)
_RECHARGED = "UPDATE batch SET queues = %s, charges = %s WHERE id = %s"
_MAKE = f"""
INSERT INTO usage (subject, span, slot, used, past, refused, until)
SELECT subject, span, floor(%s * {SLOTS} / span)::bigint, 0, ''::bytea, 0, 0
FROM unnest(%s::text[], %s::int[]) AS asked(subject, span) ORDER BY subject COLLATE "C", span
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants
_LOCK = """
SELECT usage.subject, usage.span, slot, used, past, refused
FROM usage JOIN unnest(%s::text[], %s::int[]) AS asked(subject, span)
ON usage.subject = asked.subject AND usage.span = asked.span
ORDER BY usage.subject COLLATE "C", usage.span FOR UPDATE OF usage
"""
_SAVE = """
UPDATE usage SET slot = now.slot, used = now.used, past = now.past, refused = now.refused,
  until = now.until
FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::int[], %s::bytea[], %s::int[], %s::bigint[])
  AS now(subject, span, slot, used, past, refused, until)
WHERE usage.subject = now.subject AND usage.span = now.span
"""
_DELETE_ANSWERS = """
WITH old AS MATERIALIZED (
  SELECT id FROM answer WHERE at <= %s ORDER BY at LIMIT %s FOR UPDATE SKIP LOCKED)
DELETE FROM answer USING old WHERE answer.id = old.id
"""
# Skips rows in use, so it waits for nobody and needs no order.
_DELETE_WINDOWS = """
WITH empty AS MATERIALIZED (
  SELECT subject, span FROM usage WHERE until BETWEEN 1 AND %s ORDER BY until
  LIMIT %s FOR UPDATE SKIP LOCKED)
DELETE FROM usage USING empty WHERE usage.subject = empty.subject AND usage.span = empty.span
"""


class PostgresCounters(ServerCounters):
    """The counters in a shared PostgreSQL."""

    _probe_sql = """
    INSERT INTO answer (id, at, action) VALUES (%s, %s, '')
    ON CONFLICT (id) DO UPDATE SET at = excluded.at
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        # All connections of the store: the pool may hand out any of them next.
        self._open: WeakSet[psycopg.Connection[Any]] = WeakSet()
        event.listen(store.engine, "connect", self._opened)

    def _opened(self, connection: "psycopg.Connection[Any]", _record: object) -> None:
        self._open.add(connection)

    def abort_connections(self) -> None:
        """Shut the sockets down: PyMySQL has a timeout for reading, libpq has none."""
        for connection in tuple(self._open):
            # A closed one has no descriptor.
            with (
                suppress(OSError, psycopg.Error),
                socket(fileno=os.dup(connection.fileno())) as opened,
            ):
                opened.shutdown(SHUT_RDWR)

    _find = (
        "SELECT id, at, queues, charges FROM batch"
        " WHERE id > ? AND position(?::bytea in queues) > 0 ORDER BY id DESC FOR UPDATE"
    )

    def _settle(
        self, tx: Connection, batch: Sequence[Charge], text: RefusalText
    ) -> list[ChargeResult]:
        ids = sorted({charge.id for charge in batch if charge.id is not None})
        totals = _totals(batch)
        keys = keys_of(batch)
        hoped = [charge for charge in batch if charge.queue is not None]
        asked = (
            _numbers(ids),
            _texts([key[0] for key in keys]),
            _numbers([key[1] for key in keys]),
            _numbers([totals[key] for key in keys]),
            *pack_charges(hoped),
        )
        rows = tx.exec_driver_sql(_CHARGE, asked).fetchall()
        windows = {(row[0], row[1]): _before(row, totals) for row in rows}
        now, claimed, noted = rows[0][6:9]
        prior = _prior(tx, ids) if claimed < len(ids) else {}
        results = settle_all(batch, windows, prior=prior, now=now, text=text)
        _correct(tx, rows, windows)
        self._locked, self._at = windows, now
        happened = charges_made(batch, results)
        if len(happened) < len(hoped):
            tx.exec_driver_sql(_RECHARGED, (*pack_charges(happened), noted))
        self._note(tx, ids, refusals(batch, results))
        return results

    def _now(self, tx: Connection) -> float:
        return float(tx.exec_driver_sql(f"SELECT {_NOW}").scalar_one())

    def _claim(self, tx: Connection, ids: Sequence[int], at: int) -> dict[int, str]:
        if not ids:
            return {}
        taken = tx.exec_driver_sql(_CLAIM, (at, _numbers(ids))).rowcount
        return _prior(tx, ids) if taken < len(ids) else {}

    def _lock(self, tx: Connection, keys: Sequence[Key], now: float) -> dict[Key, Window]:
        if not keys:
            return {}
        named = ([k[0] for k in keys], [k[1] for k in keys])
        tx.exec_driver_sql(_MAKE, (now, *named))
        rows = tx.exec_driver_sql(_LOCK, named).fetchall()
        self._at = self._now(tx)
        for row in rows:
            window = Window(row[1], row[2], used=row[3], past=row[4], refused=row[5])
            window.advance(self._at)
            self._locked[row[0], row[1]] = window
        return self._locked

    def _save(self, tx: Connection, windows: Mapping[Key, Window]) -> None:
        if windows:
            columns = [
                (*key, w.slot, w.used, w.past, w.refused, w.until) for key, w in windows.items()
            ]
            tx.exec_driver_sql(_SAVE, _transpose(columns))

    def _note(
        self, tx: Connection, fresh: Sequence[int], replies: Sequence[tuple[int, str]]
    ) -> None:
        del fresh  # recorded when they were claimed
        if self._charged:
            tx.exec_driver_sql(_CHARGED, (int(self._at), *pack_charges(self._charged, self._when)))
        if replies:
            tx.exec_driver_sql(_REWORD, _transpose(replies))

    def _delete_expired(self, tx: Connection, now: int) -> Deleted:
        answers = tx.exec_driver_sql(_DELETE_ANSWERS, (now - ANSWER_SECONDS, EXPIRY_ROWS)).rowcount
        batches = self._delete_old_batches(tx, now)
        windows = tx.exec_driver_sql(_DELETE_WINDOWS, (now, EXPIRY_ROWS)).rowcount
        return Deleted(windows, answers, batches)


def _totals(batch: Sequence[Charge]) -> Counter[Key]:
    totals: Counter[Key] = Counter()
    for charge in batch:
        for limit in charge.limits:
            totals[limit.subject, limit.span] += charge.amount
    return totals


def _before(row: Any, totals: Counter[Key]) -> Window:
    """Return the window as it was before the batch's totals."""
    subject, span, slot, used, past, refused = row[:6]
    return Window(span, slot, used=used - totals[subject, span], past=past, refused=refused)


def _prior(tx: Connection, ids: Sequence[int]) -> dict[int, str]:
    return {row[0]: row[1] for row in tx.exec_driver_sql(_PRIOR, (_numbers(ids),))}


def _numbers(values: Sequence[int]) -> str:
    """Return an array as PostgreSQL reads it: psycopg takes ten times as long for a list."""
    return f"{{{','.join(map(str, values))}}}"


def _texts(values: Sequence[str]) -> str:
    joined = '","'.join(values)
    if "\\" in joined or joined.count('"') != 2 * (len(values) - 1):
        joined = '","'.join([v.replace("\\", r"\\").replace('"', r"\"") for v in values])
    return f'{{"{joined}"}}'


def _correct(tx: Connection, rows: Sequence[Any], windows: dict[Key, Window]) -> None:
    """Take off what the totals overcharged, and count the refusals."""
    wrong = []
    for subject, span, _, used, _, refused, *_ in rows:
        window = windows[subject, span]
        if window.used != used or window.refused != refused:
            wrong.append((subject, span, used - window.used, window.refused - refused))
    if wrong:
        tx.exec_driver_sql(_CORRECT, _transpose(wrong))


def _transpose(rows: Sequence[tuple[Any, ...]]) -> tuple[list[Any], ...]:
    """Return *rows* as the columns that ``unnest`` takes."""
    return tuple(list(column) for column in zip(*rows, strict=True))
