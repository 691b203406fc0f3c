"""Each way to write a part that some mail program shows as a file, in many forms."""

import pytest

from tests.milters import oracle

HEAD = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
LETTER = b"--x\r\n\r\nhello\r\n"
BODY = (
    b"Content-Transfer-Encoding: base64\r\n\r\n"
    b"UEsDBEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9gYWJjZGVmZ2hpamtsbW5vcHFyc3R1\r\n"
)
ZIP = b"Content-Type: application/zip\r\n"


def part(fields: bytes, delimiter: bytes = b"--x\r\n") -> bytes:
    return HEAD + LETTER + delimiter + fields + BODY + b"--x--\r\n"


@pytest.mark.parametrize(
    "disposition",
    [
        *(b"attachment", b"ATTACHMENT", b"attachment;", b"attachment (c)", b"(c) attachment"),
        *(b'"attachment"', b"attachment filename=f", b"attachment, filename=f", b"attachement"),
        *(b"download", b"form-data", b"signal", b"x-unknown", b"inline (c)", b'"inline"', b""),
        *(b"inline filename=f", b"inline, x", b"inline/x", b";filename=f", b"=?utf-8?q?inline?="),
        *(b"inline\r\nContent-Disposition: inline", b"\r\n attachment", b"inline; filename=f"),
        *(
            b'inline; filename*0="',
            b"inline; FileName*0=f",
            b"inline; filename*=utf-8''f",
            b"inline; filename = f",
        ),
    ],
)
def test_whatever_is_not_plainly_inline_is_a_file(disposition: bytes) -> None:
    fields = b"Content-Type: text/plain\r\nContent-Disposition: " + disposition + b"\r\n"
    assert oracle.scanned(part(fields)) == [57]


@pytest.mark.parametrize("disposition", [b"inline", b" inline ;", b"INLINE; size=3", b"inline\t"])
def test_a_plainly_inline_text_is_not_a_file(disposition: bytes) -> None:
    fields = b"Content-Type: text/plain\r\nContent-Disposition: " + disposition + b"\r\n"
    assert oracle.scanned(part(fields)) == []


@pytest.mark.parametrize(
    "kind",
    [
        *(b"application/zip (a/b)", b"application/zip/x", b"zip", b'"a/b/c"', b"X-sun-attachment"),
        *(b"=?utf-8?q?application/zip?=", b"text/plain\r\nContent-Type: text/plain", b"text/"),
        *(b"/plain", b"text/plain/x", b"text/plain, x", b'"text/plain"', b"text /plain", b"te xt"),
        *(
            b"text/rtf",
            b"text/csv",
            b"text/calendar",
            b"text/x-zip",
            b"text/",
            b"text/plain(",
            b"(",
        ),
        *(b"text/plain; name=f", b"text/plain; name*0*=f", b'text/plain ("); name=f', b"multipart"),
        *(b"message/partial; id=a", b"message/http", b"message/x-zip", b"message/imdn+xml"),
        *(b"message/disposition-notification", b"message/feedback-report", b"model/x", b"x/y"),
        *(b"multipart/mixed boundary=z", b"multipart/mixed, boundary=z", b"", b"; charset=x"),
    ],
)
def test_whatever_is_not_plainly_text_is_a_file(kind: bytes) -> None:
    assert oracle.scanned(part(b"Content-Type: " + kind + b"\r\n")) == [57]


@pytest.mark.parametrize(
    "kind",
    [
        *(b"text/plain", b"TEXT/Plain", b"text/html; charset=utf-8", b"text/plain (c)", b"text"),
        *(b"(c) text/plain", b"\r\n text/plain;\r\n format=flowed", b'text/plain; name=""'),
    ],
)
def test_plain_text_is_not_an_attachment(kind: bytes) -> None:
    assert oracle.scanned(part(b"Content-Type: " + kind + b"\r\n")) == []


@pytest.mark.parametrize(
    "line",
    [
        *(b"no field", b"X-Gr\xfc\xdf: y", b"x" * 1001 + b": y", b">From a@b", b"From a@b", b": x"),
        *(b" folded", b"\tfolded", b"x" * 9000, b"\xef\xbb\xbfX: y", b"\0", b"-", b"--", b"X y: z"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_header_extends_to_its_empty_line(line: bytes, *, is_first: bool) -> None:
    lines = line + b"\r\n" + ZIP if is_first else ZIP + line + b"\r\n"
    assert oracle.scanned(part(lines)) == [57]


@pytest.mark.parametrize(
    "rest", [b"", b" y", b"y", b"\0", b"-", b" " * 1001, b"-y", b"\t", b" --", b"\xff", b"y" * 9000]
)
def test_a_line_that_begins_like_a_delimiter_is_one(rest: bytes) -> None:
    assert oracle.scanned(part(ZIP, b"--x" + rest + b"\r\n")) == [57]


@pytest.mark.parametrize(
    ("written", "used"),
    [
        *((b"(c)x", b"x"), (b"x(c)", b"x"), (b"(c) x", b"x"), (b'"\\x"', b"x"), (b"x y", b"x y")),
        *((b'"x y"', b"x y"), (b'"x\r\n y"', b"x y"), (b'"x\\"y"', b'x"y'), (b"\r\n x", b"x")),
        *((b"x y", b"x"), (b'"x ', b"x"), (b"x; boundary=z", b"x"), (b"z; boundary=x", b"x")),
        *((b"x; boundary*0=z", b"x"), (b"----=_N", b"----=_N"), (b'" x"', b" x"), (b"a/b", b"a/b")),
        *((b"x;charset=y", b"x"), (b"x\xe9", b"x\xe9"), (b"a:b@c", b"a:b@c"), (b"(a(b)c)x", b"x")),
    ],
)
def test_a_boundary_is_read_in_every_way_that_programs_know(written: bytes, used: bytes) -> None:
    head = b"Content-Type: multipart/mixed; boundary=" + written + b"\r\n\r\n"
    raw = head + b"--" + used + b"\r\n" + ZIP + BODY + b"--" + used + b"--\r\n"
    assert oracle.scanned(raw) == [57]


@pytest.mark.parametrize("kind", [b"rfc822", b"global", b"news"])
def test_a_forwarded_message_without_a_name_is_opened(kind: bytes) -> None:
    fields = b"Content-Type: message/" + kind + b"\r\n\r\n"
    assert oracle.scanned(part(fields + ZIP)) == [57]


def test_a_forwarded_message_with_a_name_is_one_file() -> None:
    inner = b"Subject: s\r\n\r\n" + b"1;2;3\r\n" * 10
    fields = b'Content-Type: message/rfc822; name="f.eml"\r\n\r\n'
    assert oracle.scanned(HEAD + LETTER + b"--x\r\n" + fields + inner + b"\r\n--x--\r\n") == [
        len(inner)
    ]


@pytest.mark.parametrize("encoding", [b"x-uuencode", b"X-UUE", b"uuencode"])
def test_uuencode_may_hold_several_files(encoding: bytes) -> None:
    one = b"begin 644 f\r\n#86)C\r\n`\r\nend\r\n"
    head = b"Content-Type: application/zip\r\nContent-Transfer-Encoding: " + encoding
    assert oracle.scanned(head + b"\r\n\r\n" + one * 3) == [9]


@pytest.mark.parametrize(
    "text", [b"begin 644 f\r\nOnce upon a time\r\n", b"begin here\r\n#86)C\r\n", b"begin\r\n"]
)
def test_prose_with_the_word_begin_holds_no_file(text: bytes) -> None:
    assert oracle.scanned(b"Subject: s\r\n\r\n" + text) == []
