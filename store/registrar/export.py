"""The accounts as a file: CSV that `store.registrar.write` reads back, or Dovecot's passwd-file."""

import base64
import csv
import io
from collections.abc import Iterator, Sequence
from typing import Literal

from sqlalchemy import select

from config.settings import Settings
from store.engine import Store
from store.models import AccountRow
from store.people.entitlements import mailbox_quota
from store.people.view import AccountView, list_accounts
from store.registrar.columns import dump
from store.registrar.csv_file import COLUMNS

# Everything but the identity number: only its keyed hash exists.
_EXPORTED = tuple(column for column in COLUMNS if column != "identity")
NOBODY = "{CRYPT}!"  # the hash of no password
Release = Literal["2.3", "2.4"]  # of Dovecot: each has its own word for a quota


def csv_text(store: Store, *, with_hashes: bool = False, now: int | None = None) -> Iterator[str]:
    """Yield CSV lines, the header first; the password hashes only *with_hashes*."""
    columns = [c for c in _EXPORTED if with_hashes or c != "password_hash"]
    yield _row(columns)
    for view, stored in _read(store, now):
        said = {
            "name": view.name,
            "role": view.role,
            "condition": view.condition,
            "second_mailbox": view.second_mailbox or "",
            "aliases": " ".join(view.aliases),
            "password_hash": stored or "",
            **dump(view),
        }
        yield _row([said[column] for column in columns])


def dovecot_text(
    store: Store, settings: Settings, *, now: int, release: Release = "2.3"
) -> Iterator[str]:
    """Yield lines of a Dovecot passwd-file: a way out of gatepost, and a cold spare.

    Who is suspended from everything has no password there. Of less, the format knows nothing.
    """
    site = settings.site
    for view, stored in _read(store, now):
        quota = mailbox_quota(settings, view, now=now)
        home = site.mail_home.replace("{name}", view.name)
        stopped = any(stop.scope == "everything" for stop in view.suspended)
        shown = NOBODY if stopped or stored is None else _in_one_field(stored)
        yield (
            f"{view.name}:{shown}:{site.mail_uid}:{site.mail_gid}::{home}::"
            f"{_quota(quota, release)}\n"
        )


def _quota(size: int, release: Release) -> str:
    if release == "2.3":
        return f"userdb_quota_rule=*:bytes={size}"
    return f"userdb_quota_storage_size={f'{size}B' if size else 'unlimited'}"


def _in_one_field(stored: str) -> str:
    """Return *stored* such that a passwd-file holds it: only plain text can break its line."""
    scheme, _, text = stored.partition("}")
    if ":" not in text and text.isprintable():
        return stored
    return f"{scheme}.B64}}" + base64.b64encode(text.encode()).decode()


def _read(store: Store, now: int | None) -> list[tuple[AccountView, str | None]]:
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
