"""Files that change together: shown as one diff, written whole, and restored.

A file is replaced by renaming a complete new one over it, with the owner and mode it had, so
that no program ever reads half a file.
"""

import difflib
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

DEFAULT_MODE = 0o644


@dataclass(frozen=True, slots=True)
class Change:
    """One file before and after. Text is UTF-8; other bytes survive as surrogates."""

    path: Path
    before: str | None  # None: there is no such file
    after: str | None  # None: it is removed
    mode: int = DEFAULT_MODE  # of a new file
    link: bool = False  # a symbolic link; its target is the text
    # A file of gatepost's alone: undo removes it, also if it was there before the first run.
    is_gateposts: bool = False


def read(path: Path) -> str | None:
    """Return the text of *path*, ``None`` if there is no file or the link leads nowhere."""
    if path.is_symlink() and not path.exists():
        return None
    try:
        return path.read_text("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None


def change_to(path: Path, after: str | None, *, mode: int = DEFAULT_MODE) -> Change:
    """Return the change that makes *after* the text of *path*."""
    return Change(path, read(path), after, mode)


def link_to(path: Path, target: str) -> Change:
    """Return the change that makes *path* a symbolic link to *target*."""
    before = str(path.readlink()) if path.is_symlink() else None
    return Change(path, before, target, link=True)


def diff(changes: Iterable[Change]) -> str:
    """Return *changes* as ``diff -u`` shows them, and a line for each link."""
    parts: list[str] = []
    for each in changes:
        if each.before == each.after:
            continue
        if each.link:
            verb = "remove" if each.after is None else "make"
            parts.append(f"{verb} link {each.path} -> {each.after or each.before}\n")
            continue
        parts += difflib.unified_diff(
            (each.before or "").splitlines(keepends=True),
            (each.after or "").splitlines(keepends=True),
            "/dev/null" if each.before is None else str(each.path),
            "/dev/null" if each.after is None else str(each.path),
            n=2,
        )
    return "".join(parts)


def write(changes: Iterable[Change]) -> list[Path]:
    """Make the changes that differ; return the folders that had to be created."""
    created: list[Path] = []
    for each in changes:
        if each.before == each.after:
            continue
        if each.after is None:
            each.path.unlink(missing_ok=True)
            continue
        missing = [folder for folder in each.path.parents if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir()
            created.append(folder)
        if each.link:
            _link(each.path, each.after)
        else:
            _replace(each.path, each.after, each.mode)
    return created


def reverse(changes: Iterable[Change]) -> list[Change]:
    """Return the changes that undo *changes*."""
    return [replace(each, before=each.after, after=each.before) for each in changes]


def _replace(path: Path, text: str, mode: int) -> None:
    # A configuration file that is a link, such as into version control, stays one.
    real = path.resolve()
    new = real.with_name(f".{real.name}.gatepost-new")
    try:
        new.write_text(text, "utf-8", "surrogateescape")
        if real.exists():
            found = real.stat()
            new.chmod(stat.S_IMODE(found.st_mode))
            shutil.chown(new, found.st_uid, found.st_gid)
        else:
            new.chmod(mode)
        new.replace(real)
    finally:
        new.unlink(missing_ok=True)


def _link(path: Path, target: str) -> None:
    new = path.with_name(f".{path.name}.gatepost-new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)
