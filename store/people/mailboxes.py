"""How much mail an account holds, as the files under its home say.

For reports and graduations only; Dovecot's own count decides what is accepted. Maildir
files name their size (``,S=1234``); what does not is asked of the file system. What
vanishes while it is read (people delete mail) is skipped. Of another format, or where
anything cannot be read, nothing is claimed.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from config.settings import Settings

_SIZE = re.compile(r",S=(\d{1,15})")
_MAILDIR = frozenset({"cur", "new", "tmp"})  # every folder of a Maildir has them (maildir(5))


def measure(settings: Settings, name: str) -> int | None:
    """Return the bytes of mail of *name*: 0 without a home, ``None`` when it cannot be told.

    It cannot where no Maildir is seen (mdbox, sdbox, mail elsewhere than in the home), where
    the homes are not on this machine, and where something is not readable.
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
