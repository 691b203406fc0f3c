"""The counters in PostgreSQL: one set-based statement a batch.

The statement claims the ids of the batch and charges its totals, moving each
row's slots in SQL; the row locks it takes hold until commit. What the totals
should not have charged (refusals, repeats) is taken off again by a second
statement, before the commit makes anything visible. Rows are locked in the order
of their keys everywhere, so processes wait for each other but never in a circle.

"Now" is the time of the statement at the database: machines need not agree.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from store.engine import Store, translated
from store.usage import Usage
from store.window import (
    JITTER_SECONDS,
    PAST_BYTES,
    SLOT_BYTES,
    SLOTS,
    Charge,
    Key,
    Verdict,
    Window,
    Word,
    keys_of,
    refusals,
    settle_all,
)

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
)
SELECT charged.*, {_NOW}, (SELECT array_agg(id) FROM claimed) FROM charged
"""  # noqa: S608 - constants of ours; what people sent is bound
_CORRECT = """
UPDATE usage SET used = usage.used - wrong.used, refused = usage.refused + wrong.refused
FROM unnest(%s::text[], %s::int[], %s::int[], %s::int[]) AS wrong(subject, span, used, refused)
WHERE usage.subject = wrong.subject AND usage.span = wrong.span
"""
_TOLD = "SELECT id, action FROM answer WHERE id = ANY(%s::bigint[])"
_REFUSED = """
UPDATE answer SET action = said.action
FROM unnest(%s::bigint[], %s::text[]) AS said(id, action) WHERE answer.id = said.id
"""


class PostgresUsage(Usage):
    """`store.usage.Usage` on a shared PostgreSQL."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: Connection | None = None

    def charge(self, batch: Sequence[Charge], word: Word) -> list[Verdict]:
        """Settle *batch* in one transaction."""
        with translated():
            if self._kept is None:
                self._kept = self._store.engine.connect()
            connection = self._kept
            try:
                verdicts = _settle(connection, batch, word)
                connection.commit()
            except BaseException:
                # Whatever state it is in: closing rolls back, the pool looks before reuse.
                self._kept = None
                connection.invalidate()
                connection.close()
                raise
        return verdicts

    def close(self) -> None:
        """Give the connection back."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None


def _settle(connection: Connection, batch: Sequence[Charge], word: Word) -> list[Verdict]:
    ids = sorted({charge.id for charge in batch if charge.id is not None})
    totals = _totals(batch)
    keys = keys_of(batch)
    asked = (ids, [k[0] for k in keys], [k[1] for k in keys], [totals[k] for k in keys])
    rows = connection.exec_driver_sql(_CHARGE, asked).fetchall()
    windows = {(row[0], row[1]): _window(row, totals) for row in rows}
    now, claimed = rows[0][6], rows[0][7] or []
    told = _told(connection, set(ids).difference(claimed)) if len(claimed) < len(ids) else {}
    verdicts = settle_all(batch, windows, told=told, now=now, word=word)
    _correct(connection, rows, windows)
    refused = refusals(batch, verdicts)
    if refused:
        said = ([r[0] for r in refused], [r[1] for r in refused])
        connection.exec_driver_sql(_REFUSED, said)
    return verdicts


def _totals(batch: Sequence[Charge]) -> Counter[Key]:
    totals: Counter[Key] = Counter()
    for charge in batch:
        for limit in charge.limits:
            totals[limit.subject, limit.span] += charge.amount
    return totals


def _window(row: Any, totals: Counter[Key]) -> Window:
    """Return the window as it was before the batch's totals."""
    subject, span, slot, used, past, refused = row[:6]
    return Window(span, slot, used=used - totals[subject, span], past=past, refused=refused)


def _told(connection: Connection, ids: set[int]) -> dict[int, str]:
    rows = connection.exec_driver_sql(_TOLD, (list(ids),))
    return {row[0]: row[1] for row in rows}


def _correct(connection: Connection, rows: Sequence[Any], windows: dict[Key, Window]) -> None:
    """Take off what the totals charged too much, and count the refusals."""
    wrong = []
    for subject, span, _, used, _, refused, *_ in rows:
        window = windows[subject, span]
        if window.used != used or window.refused != refused:
            wrong.append((subject, span, used - window.used, window.refused - refused))
    if wrong:
        connection.exec_driver_sql(_CORRECT, tuple(list(c) for c in zip(*wrong, strict=True)))
