"""The accounts as a file: CSV that `store.registrar` reads back, or Dovecot's passwd-file."""

import base64
import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import select

from config.settings import Settings
from store.directory import effective, generous
from store.engine import Store
from store.models import Account, Address
from store.registrar_lines import COLUMNS

# Everything but the identity number: only its keyed hash exists.
_EXPORTED = tuple(column for column in COLUMNS if column != "identity")


def csv_text(store: Store, *, with_hashes: bool = False) -> Iterator[str]:
    """Yield CSV lines, the header first; the password hashes only *with_hashes*."""
    columns = [c for c in _EXPORTED if with_hashes or c != "password_hash"]
    yield _row(columns)
    rows, aliases = _read(store)
    for row in rows:
        said = {
            "name": row.name,
            "role": row.role,
            "condition": row.condition,
            "second_mailbox": row.second_mailbox or "",
            "aliases": " ".join(aliases.get(row.id, ())),
            "password_hash": row.password or "",
        }
        yield _row([said[column] for column in columns])


def dovecot_text(store: Store, settings: Settings, *, now: int) -> Iterator[str]:
    """Yield lines of a Dovecot passwd-file: a way out of gatepost, and a cold spare."""
    site = settings.site
    rows, _ = _read(store)
    for row in rows:
        role = settings.roles.get(row.role) or generous(settings)
        quota = effective(row.mailbox, row.mailbox_until, of_role=role.mailbox, now=now)
        home = site.mail_home.replace("{name}", row.name)
        # A password that is none ("!") lets nobody in.
        stored = _in_one_field(row.password or "{CRYPT}!")
        yield (
            f"{row.name}:{stored}:{site.mail_uid}:{site.mail_gid}::{home}::"
            f"userdb_quota_rule=*:bytes={quota}\n"
        )


def _in_one_field(stored: str) -> str:
    """Return *stored* such that a passwd-file holds it: only plain text can break its line."""
    scheme, _, text = stored.partition("}")
    if ":" not in text and text.isprintable():
        return stored
    return f"{scheme}.B64}}" + base64.b64encode(text.encode()).decode()


def _read(store: Store) -> tuple[Sequence[Account], Mapping[int, list[str]]]:
    aliases: dict[int, list[str]] = {}
    with store.reading() as session:
        for each in session.scalars(select(Address).order_by(Address.name)):
            aliases.setdefault(each.account_id, []).append(each.name)
        query = select(Account).where(Account.removed_at.is_(None)).order_by(Account.name)
        return session.scalars(query).all(), aliases


def _row(values: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
