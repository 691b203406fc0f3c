"""How much mail an account holds, as the files under its home say.

For reports only; Dovecot's own count decides what is accepted. Maildir files name
their size (``,S=1234``); what does not is asked of the file system.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from config.settings import Settings

_SIZE = re.compile(r",S=(\d{1,15})")


def used(settings: Settings, name: str) -> int | None:
    """Return the bytes of mail of *name*; 0 without a mailbox, ``None`` when unreadable."""
    home = Path(settings.site.mail_home.replace("{name}", name))
    try:
        return sum(_sizes(home))
    except FileNotFoundError:
        return 0
    except OSError:
        return None


def _sizes(folder: Path) -> Iterator[int]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(Path(entry.path))
            elif folder.name in {"cur", "new"}:
                named = _SIZE.search(entry.name)
                yield int(named[1]) if named else entry.stat(follow_symlinks=False).st_size
