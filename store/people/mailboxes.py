"""Measure the mail of an account by the files under its home.

For reports and graduations only; Dovecot's own count decides what is accepted. Maildir file
names carry the size (``,S=1234``); otherwise the file system is asked. Files that vanish
meanwhile, because people delete mail, are skipped. Other formats, and anything unreadable,
make the size unknown.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from config.settings import Settings
from config.units import Bytes

_SIZE = re.compile(r",S=(\d{1,15})")
_MAILDIR = frozenset({"cur", "new", "tmp"})  # every folder of a Maildir has them (maildir(5))


def measure(settings: Settings, name: str) -> Bytes | None:
    """Return the bytes of mail of *name*: 0 without a home, ``None`` when unknown.

    Unknown are homes without a Maildir (mdbox, sdbox, mail kept outside the home), homes on
    another machine, and anything unreadable.
    """
    home = Path(settings.site.mail_home.replace("{name}", name))
    try:
        if not home.exists():
            return 0 if home.parent.exists() else None
        folders = [sum(_sizes(folder)) for folder in _folders(home)]
    except OSError:
        return None
    return sum(folders) if folders else None


def _folders(home: Path) -> Iterator[Path]:
    """Return the folders of Maildirs below *home*."""
    for path, below, _ in os.walk(home, onerror=_unless_gone):
        if _MAILDIR.issubset(below):
            below[:] = [name for name in below if name not in _MAILDIR]
            yield Path(path)


def _sizes(folder: Path) -> Iterator[int]:
    for path in (folder / "cur", folder / "new"):
        try:
            for entry in os.scandir(path):
                named = _SIZE.search(entry.name)
                yield int(named[1]) if named else _size(entry)
        except FileNotFoundError:
            continue


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
