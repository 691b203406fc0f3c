"""What `gatepost setup` changed, kept so that it can be given back.

One JSON file for each part in `FOLDER`, readable by root only: for each file its text before the
first change and a digest of the text after the last one. A file that is still as we left it gets
its old bytes back; one that somebody has edited since is handed to the part, which takes out
only its own words.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from config.setup.files import Change, read

FOLDER = Path("/var/lib/gatepost/setup")


@dataclass(slots=True)
class FileRecord:
    """One file: what it was, and how we left it."""

    before: str | None
    digest: str | None  # of the text we left; None: we removed it
    link: bool = False
    # Edited by hand between two runs of ours: `before` is not what is to come back.
    is_mixed: bool = False


@dataclass(slots=True)
class Record:
    """What one part of the setup changed."""

    part: str
    files: dict[str, FileRecord] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, part: str, folder: Path | None = None) -> "Record":
        """Return the record of *part*; an empty one where nothing was changed."""
        try:
            raw = json.loads(((folder or FOLDER) / f"{part}.json").read_text())
        except FileNotFoundError:
            return cls(part)
        files = {path: FileRecord(**entry) for path, entry in raw["files"].items()}
        return cls(part, files, raw["folders"])

    @property
    def is_empty(self) -> bool:
        """Return whether nothing was changed."""
        return not self.files

    def add(self, changes: Iterable[Change]) -> None:
        """SetupNote *changes*, which are about to be made."""
        for each in changes:
            if each.before == each.after:
                continue
            old = self.files.get(str(each.path))
            if old is None:
                self.files[str(each.path)] = FileRecord(each.before, digest(each.after), each.link)
                continue
            old.is_mixed = old.is_mixed or digest(each.before) != old.digest
            old.digest = digest(each.after)

    def save(self, folder: Path | None = None) -> None:
        """Write the record; on disk before anything it speaks of is changed."""
        folder = folder or FOLDER
        if self.is_empty:
            self.remove(folder)
            return
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        new = folder / f".{self.part}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"schema": 1, **asdict(self)}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(folder / f"{self.part}.json")

    def remove(self, folder: Path | None = None) -> None:
        """Forget it, and the folder with the last one."""
        folder = folder or FOLDER
        (folder / f"{self.part}.json").unlink(missing_ok=True)
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()

    def undo(self, clean: Callable[[Path, str], str | None]) -> tuple[list[Change], list[Path]]:
        """Return the changes that give everything back, and the files edited by hand since.

        *clean* gets such a file with its text and returns it without what is ours.
        """
        changes, edited = [], []
        for name, entry in self.files.items():
            path = Path(name)
            now = str(path.readlink()) if entry.link and path.is_symlink() else read(path)
            if now is None and entry.before is None:
                continue  # somebody removed what we had made
            if digest(now) == entry.digest and not entry.is_mixed:
                changes.append(Change(path, now, entry.before, link=entry.link))
            elif now is not None:
                edited.append(path)
                changes.append(Change(path, now, clean(path, now), link=entry.link))
        return changes, edited


def digest(text: str | None) -> str | None:
    """Return the SHA-256 of *text* in hexadecimal."""
    if text is None:
        return None
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
