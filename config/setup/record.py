"""What `gatepost setup` changed, recorded so that it can be undone.

One JSON file for each part in `FOLDER`, readable by root only: for each file its text before the
first change and a digest of the text after the last one. A file that is still as setup left it
gets its old bytes back; one edited since is handed to the part, which removes only what is
gatepost's.
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
    """One file: what it was, and how setup left it."""

    before: str | None
    digest: str | None  # of the text that setup left; None: it removed the file
    link: bool = False
    # Edited by hand between two runs: `before` is not what undo must restore.
    is_mixed: bool = False


@dataclass(slots=True)
class Record:
    """What one part of the setup changed."""

    part: str
    files: dict[str, FileRecord] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, part: str, folder: Path | None = None) -> "Record":
        """Return the record of *part*; an empty one if nothing was changed."""
        try:
            raw = json.loads(((folder or FOLDER) / f"{part}.json").read_text())
        except FileNotFoundError:
            return cls(part)
        files = {path: FileRecord(**entry) for path, entry in raw["files"].items()}
        return cls(part, files, raw["folders"])

    @property
    def is_empty(self) -> bool:
        """Whether nothing was changed."""
        return not self.files

    def add(self, changes: Iterable[Change]) -> None:
        """Record *changes*, which are about to be made."""
        for each in changes:
            old = self.files.get(str(each.path))
            if each.before == each.after and (old is not None or not each.is_gateposts):
                continue
            if old is None:
                before = None if each.is_gateposts else each.before
                self.files[str(each.path)] = FileRecord(before, digest(each.after), each.link)
                continue
            old.is_mixed = old.is_mixed or digest(each.before) != old.digest
            old.digest = digest(each.after)

    def save(self, folder: Path | None = None) -> None:
        """Write the record to disk, before the changes it describes are made."""
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
        """Delete the record, and the folder with the last one."""
        folder = folder or FOLDER
        (folder / f"{self.part}.json").unlink(missing_ok=True)
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()

    def undo(self, clean: Callable[[Path, str], str | None]) -> tuple[list[Change], list[Path]]:
        """Return the changes that restore everything, and the files edited by hand since.

        *clean* gets the path and text of such a file and returns the text without gatepost.
        """
        changes, edited = [], []
        for name, entry in self.files.items():
            path = Path(name)
            now = str(path.readlink()) if entry.link and path.is_symlink() else read(path)
            if now is None and entry.before is None:
                continue  # a file that setup made was removed since
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
