"""Write the registrar's files to the store: thousands of accounts at once.

First all lines are read and checked without writing (`store.registrar.plan`). Then `carry_out`
hashes passwords, on all processors, and writes large batches: in one transaction, or with
``keep_going`` in one for each `store.bulk.BATCH`. Every account gets its audit row, as if it had
been created alone.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from sqlalchemy.orm import Session

from config.settings import Settings
from config.units import UnixSeconds
from store.audit import AuditContext, Transaction, transaction
from store.bulk import batches
from store.engine import Store
from store.errors import Refused
from store.logins import password_hashes
from store.people import graduation, identity
from store.people.graduation_plan import Graduate
from store.registrar import rows
from store.registrar.lines import Line, Refusal, refusal
from store.registrar.plan import ImportPlan
from store.registrar.rows import Renewal

# Progress is shown, and an interrupt is noticed, after this many.
HASHED_AT_ONCE = 64
NAMED = 5  # refusals that an error lists; thousands would not be readable

Progress = Callable[[int], None]


@dataclass(slots=True)
class ImportResult:
    """What was written and, with *keep_going*, what was refused while writing."""

    added: int = 0
    changed: int = 0
    graduated: int = 0
    refused: list[Refusal] = field(default_factory=list)


def carry_out(
    store: Store,
    todo: ImportPlan,
    *,
    change: AuditContext,
    key: bytes | None = None,
    keep_going: bool = False,
    progress: Progress = lambda _: None,
    now: UnixSeconds | None = None,
) -> ImportResult:
    """Write *todo*; raise `Refused` if it has refused lines, unless *keep_going*.

    *progress* is called with the number of steps just done, of `ImportPlan.steps`. Raises
    `StoreUnavailable`; without *keep_going*, nothing has then been written.
    """
    if todo.refused and not keep_going:
        raise Refused(f"{len(todo.refused)} lines are refused, so nothing was changed")
    new = list(_hash_passwords(todo.new, key, progress))
    changed = [_hash_identity(each, key) for each in todo.changed]
    done = ImportResult()
    for batch in _batches(_Batch(new, changed, todo.graduates), apart=keep_going):
        with transaction(store, change, now=now) as tx:
            tx.rev()  # no name is taken or freed from here on
            _write(tx, todo.settings, batch, done, progress)
            if done.refused and not keep_going:
                raise Refused(_taken_since(done.refused))
    return done


def _hash_passwords(lines: Sequence[Line], key: bytes | None, progress: Progress) -> Iterator[Line]:
    """Hash the initial passwords, in threads: Argon2 releases the GIL."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in batches(lines, HASHED_AT_ONCE):
            numbers = [line for line in part if line.identity]
            made = pool.map(lambda line: _with_initial(line, key), numbers)
            yield from (next(made) if line.identity else line for line in part)
            progress(len(numbers))


def _with_initial(line: Line, key: bytes | None) -> Line:
    number = identity.normalise(line.identity or "")
    first = password_hashes.hash_password(number)
    return replace(line, password=first, identity=_identity_hash(number, key))


def _hash_identity(each: Renewal, key: bytes | None) -> Renewal:
    if "identity" not in each.columns:
        return each
    document = _identity_hash(each.columns["identity"], key)
    return replace(each, columns={**each.columns, "identity": document})


def _identity_hash(number: str, key: bytes | None) -> str:
    if key is None:
        raise ValueError("identity numbers cannot be stored without the key")  # our bug
    return identity.keyed_hash(number, key)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What one transaction writes."""

    new: Sequence[Line] = ()
    changed: Sequence[Renewal] = ()
    graduates: Sequence[Graduate] = ()


def _batches(all_: _Batch, *, apart: bool) -> Iterator[_Batch]:
    """Yield everything as one batch or, *apart*, in batches of one kind each."""
    if not apart:
        yield all_
        return
    yield from (_Batch(new=part) for part in batches(all_.new))
    yield from (_Batch(changed=part) for part in batches(all_.changed))
    yield from (_Batch(graduates=part) for part in batches(all_.graduates))


def _write(
    tx: Transaction, settings: Settings, batch: _Batch, done: ImportResult, progress: Progress
) -> None:
    for new in batches(batch.new):
        free, refused = _still_free(tx.session, new)
        rows.add(tx, free)
        done.added += len(free)
        done.refused += refused
        progress(len(new))
    for changed in batches(batch.changed):
        done.changed += rows.renew(tx, changed)
        progress(len(changed))
    for graduates in batches(batch.graduates):
        done.graduated += graduation.apply(tx, settings, graduates)
        progress(len(graduates))


def _still_free(session: Session, lines: Sequence[Line]) -> tuple[list[Line], list[Refusal]]:
    """Split *lines* into those whose names are still free and refusals of the others."""
    names = [name for line in lines for name in (line.name, *line.aliases)]
    gone = rows.names_taken(session, names)
    free, refused = [], []
    for line in lines:
        hit = next((name for name in (line.name, *line.aliases) if name in gone), None)
        if hit is None:
            free.append(line)
        else:
            refused.append(refusal(line.number, line.name, f"{hit} was taken in the meantime"))
    return free, refused


def _taken_since(refused: Sequence[Refusal]) -> str:
    shown = "; ".join(f"line {each.number}: {each.reason}" for each in refused[:NAMED])
    more = f" and {len(refused) - NAMED} more" if len(refused) > NAMED else ""
    return f"nothing was changed: {shown}{more}"
