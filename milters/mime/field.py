"""Content-Type, Content-Disposition and Content-Transfer-Encoding as mail programs read them.

Pure. A field is up to 4 KiB of untrusted bytes. Programs differ over most of what RFC 2045
does not allow, so each reading is marked as certain or doubtful.
"""

import re

MAX_BOUNDARIES = 4  # readings of one multipart's boundary; two are known to differ
_OUTSIDE = re.compile(rb'[^("]+|"(?:[^"\\]|\\.)*"?', re.DOTALL)
_COMMENT = re.compile(rb"[^()\\]+|\\.?|[()]", re.DOTALL)
_TOKEN = rb"[!#-'*+.0-9A-Z^-~\x80-\xff-]+"  # bytes beyond ASCII pass, as for Dovecot
_TYPE = re.compile(rb"[ \t]*(%b)([ \t]*/[ \t]*)(%b)[ \t]*(?:;|$)" % (_TOKEN, _TOKEN))
_DISPOSITION = re.compile(rb"[ \t]*(%b)[ \t]*(?:;|$)" % _TOKEN)
_ENCODING = re.compile(rb"[ \t]*(%b)[ \t]*(;|$)" % _TOKEN)
_PARAMETER = re.compile(rb';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)("?)|([^;]*))', re.DOTALL)
_VALUE = re.compile(rb"[^\s()<>@,;:\\\"/\[\]?=]*")  # where Dovecot ends one without quotes
# Some program takes this for a name wherever it stands. An empty value is no name, but some
# programs take an unterminated quote for one.
_NAME = re.compile(rb"name[*0-9]*\s*=\s*(?:\"(?:[^\"]|\Z)|[^\"\s;])", re.IGNORECASE)
_SECTION = re.compile(rb"boundary\*(\d+)\*?", re.IGNORECASE)


def without_comments(value: bytes) -> bytes:
    """Return *value* without comments (RFC 822 3.4.3) and folds."""
    value = value.replace(b"\r", b"").replace(b"\n", b"")
    if b"(" not in value:
        return value
    kept, at = bytearray(), 0
    while at < len(value):
        if found := _OUTSIDE.match(value, at):
            kept += found[0]
            at = found.end()
        elif end := _end_of_comment(value, at):
            kept += b" "
            at = end
        else:
            return bytes(kept + value[at:])  # unreadable from here on
    return bytes(kept)


def _end_of_comment(value: bytes, at: int) -> int | None:
    depth = 0
    while found := _COMMENT.match(value, at):
        at = found.end()
        depth += {b"(": 1, b")": -1}.get(found[0], 0)
        if not depth:
            return at
    return None


def media_type(value: bytes) -> str:
    """Return the type in lower case; empty unless every program reads it alike."""
    plain = without_comments(value)
    if plain.strip().lower() == b"text":  # as in RFC 1049
        return "text/plain"
    found = _TYPE.match(plain)
    if found is None:
        return ""
    main = found[1].lower()
    if found[2] != b"/" and main not in (b"multipart", b"message"):
        return ""  # "text / plain" is text to some and a file to others
    return (main + b"/" + found[3].lower()).decode("latin-1")


def boundaries(value: bytes) -> list[bytes]:
    """Return the boundaries that mail programs find in a Content-Type, each once."""
    found: list[bytes] = []
    sections: dict[int, bytes] = {}
    whole: dict[int, bytes] = {}  # without those that lack their closing quote
    plain = without_comments(value)
    for name, quoted, end, bare in _PARAMETER.findall(plain):
        text = re.sub(rb"\\(.)", rb"\1", quoted, flags=re.DOTALL) or bare
        if name.lower() == b"boundary":
            found += [text.rstrip(), quoted.rstrip()] if quoted else [text.strip()]
            found += [] if quoted else _VALUE.findall(bare)[:1]
        elif number := _SECTION.fullmatch(name):
            sections.setdefault(int(number[1][:6]), text.strip())
            if end or not quoted:
                whole.setdefault(int(number[1][:6]), text.strip())
    for numbered in (sections, whole):
        found += [b"".join(numbered[number] for number in sorted(numbered))] if numbered else []
    return list(dict.fromkeys(found))[:MAX_BOUNDARIES]


def disposition(value: bytes | None = None) -> str:
    """Return ``inline`` only if every program reads it so; everything else is an attachment."""
    if value is None:
        return ""
    found = _DISPOSITION.match(value.replace(b"\r", b"").replace(b"\n", b""))
    return "inline" if found and found[1].lower() == b"inline" else "attachment"


def encoding(value: bytes) -> tuple[str, bool]:
    """Return the encoding in lower case, and whether every program reads the same."""
    found = _ENCODING.match(without_comments(value))
    if found is None:
        return "", True
    return found[1].lower().decode("latin-1"), not found[2]  # "base64;" is base64 to some


def has_name(value: bytes) -> bool:
    """Return whether a program may find a file name in *value*."""
    return b"name" in value.lower() and bool(_NAME.search(without_comments(value)))
