"""The second oracle: what a real Dovecot tells IMAP clients about messages (BODYSTRUCTURE).

One imap process without a server around it reads a Maildir with all messages of a test,
so 2,000 take some seconds. Which leaf is a file, and what it holds decoded, is decided
here by rules of their own, written without the scanner's code.
"""

import binascii
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.stack import programs
from tests.stack.dovecot_release import release
from tests.stack.folder import create

_UID = 5000  # any that is not root's, with which Dovecot opens no mailbox
_BASE = """\
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
mail_uid = {uid}
mail_gid = {uid}
ssl = no
"""
_OF_RELEASE = {
    "2.3": "mail_location = maildir:{root}/mail\n",
    "2.4": "mail_driver = maildir\nmail_path = {root}/mail\n",
}
_FIRST_2_4 = "dovecot_config_version = 2.4.1\ndovecot_storage_version = 2.4.1\n"
_TOKEN = re.compile(rb'\s*(?:(\()|(\))|"((?:[^"\\]|\\.)*)"|\{(\d+)\}\r\n|([^\s()"]+))', re.DOTALL)
_FETCHED = re.compile(rb"^\* (\d+) FETCH ", re.MULTILINE)
_LETTER = ("text/plain", "text/html", "text/")  # the last of "Content-Type: text" (RFC 1049)

Tree = bytes | list["Tree"]


@dataclass(frozen=True, slots=True)
class File:
    """A leaf that mail programs list as a file."""

    section: str
    type: str
    encoding: str


def as_postfix_has_it(raw: bytes) -> bytes:
    """Return *raw* with the line ends that Postfix gives its milters."""
    raw = re.sub(rb"\r+\n|\n", b"\n", raw)
    return raw.replace(b"\r", b" ").replace(b"\n", b"\r\n")


def file_sizes(messages: Sequence[bytes]) -> list[list[int]]:
    """Return the decoded sizes of the files that Dovecot sees in each of *messages*."""
    root = create("gatepost-imap-")
    try:
        _prepare(root, messages)
        trees = dict(_fetched(_imap(root, ["FETCH 1:* BODYSTRUCTURE"])))
        assert len(trees) == len(messages)
        found = [list(_files(trees[number], "")) for number in range(1, len(messages) + 1)]
        wanted = [
            f"FETCH {number} ({' '.join(f'BODY.PEEK[{each.section}]' for each in files)})"
            for number, files in enumerate(found, 1)
            if files
        ]
        bodies = dict(_fetched(_imap(root, wanted), items=True))
        return [
            [
                _decoded(each.encoding, body)
                for each, body in zip(files, bodies.get(number, [])[1::2], strict=True)
            ]
            for number, files in enumerate(found, 1)
        ]
    finally:
        shutil.rmtree(root)


def _prepare(root: Path, messages: Sequence[bytes]) -> None:
    root.chmod(0o755)
    conf = _BASE + _OF_RELEASE[release()]
    conf = (_FIRST_2_4 if release() == "2.4" else "") + conf.format(root=root, uid=_UID)
    (root / "dovecot.conf").write_text(conf)
    for name in ("run", "state", "mail", "mail/cur", "mail/new", "mail/tmp"):
        (root / name).mkdir()
    (root / "log").touch()
    for number, raw in enumerate(messages):
        (root / f"mail/cur/{1_000_000_000 + number}.M1.test:2,S").write_bytes(raw)
    for path in (root / "log", root / "mail", *(root / "mail").rglob("*")):
        os.chown(path, _UID, _UID)


def _imap(root: Path, commands: Sequence[str]) -> bytes:
    lines = ["SELECT INBOX", *commands, "LOGOUT"]
    given = "".join(f"a{number} {line}\r\n" for number, line in enumerate(lines))
    with subprocess.Popen(
        [programs.path("doveadm"), "-c", str(root / "dovecot.conf"), "exec", "imap"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={"USER": "somebody", "HOME": str(root / "mail"), "PATH": os.environ["PATH"]},
    ) as imap:  # fmt: skip
        assert imap.stdin is not None
        assert imap.stdout is not None
        # Left open: at the end of its input imap leaves in the middle of an answer.
        threading.Thread(target=_give, args=(imap.stdin, given.encode()), daemon=True).start()
        said = imap.stdout.read()
    log = (root / "log").read_text("utf-8", "replace")
    assert f"a{len(lines) - 1} OK".encode() in said, (said[-500:], log)
    assert not re.search(rb"^a\d+ (?:NO|BAD).*", said, re.MULTILINE), log
    return said


def _give(to: IO[bytes], given: bytes) -> None:
    with suppress(BrokenPipeError):  # the answer will say why it left
        to.write(given)
        to.flush()


def _fetched(answer: bytes, *, items: bool = False) -> Iterator[tuple[int, list[Tree]]]:
    at = 0
    while found := _FETCHED.search(answer, at):
        tree, at = _parse(answer, found.end())
        assert isinstance(tree, list)
        yield int(found[1]), tree if items else _as_list(tree[1])


def _parse(text: bytes, at: int) -> tuple[Tree, int]:
    """Return the value at *at* in *text*, and where it ends."""
    stack: list[list[Tree]] = []
    while found := _TOKEN.match(text, at):
        at = found.end()
        value: Tree
        if found[1]:
            stack.append([])
            continue
        if found[2]:
            value = stack.pop()
        elif found[4]:
            size = int(found[4])
            value, at = text[at : at + size], at + size
        else:
            value = found[5] if found[3] is None else re.sub(rb"\\(.)", rb"\1", found[3])
        if not stack:
            return value, at
        stack[-1].append(value)
    raise ValueError(text[at : at + 100])


def _files(part: list[Tree], section: str) -> Iterator[File]:
    """Yield the leaves of *part* that are files; *section* is its number, empty for the root."""
    if isinstance(part[0], list):
        children = [each for each in part if isinstance(each, list) and each]
        kinds = next(n for n, each in enumerate(part) if not isinstance(each, list))
        alternative = _text(part[kinds]) == "alternative"
        texts = 0
        for number, child in enumerate(children[:kinds], 1):
            texts += _type(child) == "text/plain"
            second = alternative and texts > 1 and _type(child) == "text/plain"
            yield from _leaves(child, f"{section}.{number}".lstrip("."), is_second=second)
    else:
        yield from _leaves(part, section + ".1" if section else "1", is_second=False)


def _leaves(part: list[Tree], section: str, *, is_second: bool) -> Iterator[File]:
    if isinstance(part[0], list):
        yield from _files(part, section)
        return
    kind = _type(part)
    extra = {"message/rfc822": 10}.get(kind, 8 if kind.startswith("text/") else 7)
    disposition = part[extra + 1] if len(part) > extra + 1 else b"NIL"
    said, parameters = "", list[Tree]()
    if isinstance(disposition, list):
        said, parameters = _text(disposition[0]), _as_list(disposition[1])
    named = any(_names([*_as_list(part[2]), *parameters]))
    if kind == "message/rfc822" and not named:
        yield from _files(_as_list(part[8]), section)
    elif is_second or named or kind not in _LETTER or said not in ("", "inline"):
        yield File(section, kind, _text(part[5]))


def _names(parameters: list[Tree]) -> Iterator[Tree]:
    for name, value in zip(parameters[::2], parameters[1::2], strict=True):
        if _text(name).rstrip("*0123456789") in ("name", "filename"):
            yield value


def _decoded(encoding: str, body: Tree) -> int:
    assert isinstance(body, bytes)
    match encoding:
        case "base64":
            return len(re.sub(rb"[^A-Za-z0-9+/]", b"", body)) * 3 // 4
        case "quoted-printable":
            return len(binascii.a2b_qp(body))
        case _:
            return len(body)


def _type(part: list[Tree]) -> str:
    if isinstance(part[0], list):
        return "multipart"
    return f"{_text(part[0])}/{_text(part[1])}"


def _text(value: Tree) -> str:
    assert isinstance(value, bytes)
    return "" if value == b"NIL" else value.decode("latin-1").lower()


def _as_list(value: Tree) -> list[Tree]:
    return value if isinstance(value, list) else []
