"""Export the accounts: as CSV that can be imported again, or as a Dovecot passwd-file."""

import base64
import csv
import io
from collections.abc import Iterator, Sequence
from typing import Literal

from sqlalchemy import select

from config.settings import Settings
from config.units import Bytes, UnixSeconds
from store.engine import Store
from store.models import AccountRow
from store.people.entitlements import mailbox_quota
from store.people.view import AccountView, list_accounts
from store.registrar.columns import dump
from store.registrar.csv_file import COLUMNS

# All but the identity number, of which only a keyed hash exists.
_EXPORTED = tuple(column for column in COLUMNS if column != "identity")
LOCKED = "{CRYPT}!"  # matches no password
Release = Literal["2.3", "2.4"]  # of Dovecot: their quota settings differ


def csv_text(
    store: Store, *, with_hashes: bool = False, now: UnixSeconds | None = None
) -> Iterator[str]:
    """Yield CSV lines, the header first; the password hashes only *with_hashes*."""
    columns = [c for c in _EXPORTED if with_hashes or c != "password_hash"]
    yield _row(columns)
    for view, stored in _read(store, now):
        cells = {
            "name": view.name,
            "role": view.role,
            "condition": view.condition,
            "second_mailbox": view.second_mailbox or "",
            "aliases": " ".join(view.aliases),
            "password_hash": stored or "",
            **dump(view),
        }
        yield _row([cells[column] for column in columns])


def dovecot_text(
    store: Store, settings: Settings, *, now: UnixSeconds, release: Release = "2.3"
) -> Iterator[str]:
    """Yield the lines of a Dovecot passwd-file, for leaving gatepost or as a cold spare.

    Accounts suspended from everything get no password. The format cannot express less.
    """
    site = settings.site
    for view, stored in _read(store, now):
        quota = mailbox_quota(settings, view, now=now)
        home = site.mail_home.replace("{name}", view.name)
        stopped = any(stop.scope == "everything" for stop in view.suspended)
        shown = LOCKED if stopped or stored is None else _in_one_field(stored)
        yield (
            f"{view.name}:{shown}:{site.mail_uid}:{site.mail_gid}::{home}::"
            f"{_quota(quota, release)}\n"
        )


def _quota(size: Bytes, release: Release) -> str:
    if release == "2.3":
        return f"userdb_quota_rule=*:bytes={size}"
    return f"userdb_quota_storage_size={f'{size}B' if size else 'unlimited'}"


def _in_one_field(stored: str) -> str:
    """Return *stored* as one field of a passwd-file, which only plain text could break."""
    scheme, _, text = stored.partition("}")
    if ":" not in text and text.isprintable():
        return stored
    return f"{scheme}.B64}}" + base64.b64encode(text.encode()).decode()


def _read(store: Store, now: UnixSeconds | None) -> list[tuple[AccountView, str | None]]:
    with store.reading() as session:
        query = select(AccountRow.name, AccountRow.password).where(AccountRow.removed_at.is_(None))
        hashes = {each.name: each.password for each in session.execute(query)}
    return [
        (view, hashes[view.name]) for view in list_accounts(store, now=now) if view.name in hashes
    ]


def _row(values: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
