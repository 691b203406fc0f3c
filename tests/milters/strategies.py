"""Hypothesis strategies for messages: well-formed trees, broken ones, random lines."""

import base64
import binascii
import quopri

from hypothesis import strategies as st

_BOUNDARIES = ("b", "bb", "=_Part_1", "--", "b b", "----=_x", "a" * 70)
_EOL = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"])
_BINARY = st.binary(max_size=300)


def _uu(data: bytes) -> bytes:
    lines = [binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45)]
    return b"begin 644 file\n" + b"".join(lines) + b"`\nend\n"


def _split(data: bytes, width: int) -> bytes:
    return b"\r\n".join(data[at : at + width] for at in range(0, len(data), width))


@st.composite
def _encoded(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Return an encoding's name and a body in it, perhaps a damaged one."""
    name = draw(
        st.sampled_from([b"base64", b"quoted-printable", b"x-uuencode", b"8bit", b"", b"BASE64"])
    )
    data = draw(_BINARY)
    match name.lower():
        case b"base64":
            body = _split(base64.b64encode(data), draw(st.sampled_from([76, 60, 4, 1, 1000])))
        case b"quoted-printable":
            body = quopri.encodestring(data)
        case b"x-uuencode":
            body = _uu(data)
        case _:
            body = data
    if draw(st.booleans()):
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.sampled_from([b"=", b"\r", b"\n", b"-", b"--b", b" ", b"\xe9"]))
        body += draw(st.binary(max_size=20))
    return name, body


@st.composite
def _leaf(draw: st.DrawFn) -> bytes:
    eol = draw(_EOL)
    encoding, body = draw(_encoded())
    fields = draw(
        st.lists(
            st.sampled_from(
                [
                    b"Content-Type: text/plain; charset=utf-8",
                    b'Content-Type: application/pdf; name="a;b.pdf"',
                    b"Content-Type: image/png",
                    b"Content-Type: TEXT/HTML",
                    b"Content-Type: nonsense",
                    b"Content-Disposition: attachment",
                    b"Content-Disposition: inline; filename*=utf-8''%e2%82%ac.txt",
                    b"Content-Disposition: inline;" + eol + b' filename*0="a"; filename*1=b',
                    b"X-Other: " + b"x" * 100,
                ]
            ),
            max_size=3,
            unique_by=lambda field: field.partition(b":")[0],
        )
    )
    if encoding:
        fields.append(b"Content-Transfer-Encoding: " + encoding)
    return eol.join([*fields, b"", body])


@st.composite
def _multipart(draw: st.DrawFn, children: st.SearchStrategy[bytes]) -> bytes:
    eol, boundary = draw(_EOL), draw(st.sampled_from(_BOUNDARIES)).encode()
    kind = draw(st.sampled_from([b"mixed", b"alternative", b"digest"]))
    out = [b'Content-Type: multipart/%b; boundary="%b"' % (kind, boundary), b""]
    if draw(st.booleans()):
        out.append(b"This is a message in several parts.")
    for child in draw(st.lists(children, max_size=3)):
        out += [b"--" + boundary + draw(st.sampled_from([b"", b"", b"  ", b"\t"])), child]
    if draw(st.integers(0, 3)):
        out.append(b"--" + boundary + b"--")
    if draw(st.booleans()):
        out.append(b"epilogue")
    return eol.join(out) + draw(st.sampled_from([b"", eol]))


def _message(children: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return children.map(lambda inner: b"Content-Type: message/rfc822\r\n\r\n" + inner)


trees = st.recursive(
    _leaf(), lambda inner: st.one_of(_multipart(inner), _message(inner)), max_leaves=6
)

_LINES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b\n",
        b"Content-Type: multipart/digest; boundary=bb\r\n",
        b'Content-Type: multipart/mixed; boundary="b b"\r\n',
        b"Content-Type: multipart/mixed\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: application/pdf; name=x\r\n",
        b"Content-Type: image/png\n",
        b"Content-Type: text/plain\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"Content-Transfer-Encoding: x-uuencode\r\n",
        b"Content-Disposition: attachment; filename=y\r\n",
        *(b"--b\r\n", b"--b\n", b"--b--\r\n", b"--bb\r\n", b"--bb--\r\n", b"--b b\r\n"),
        *(b"--b b--  \r\n", b"--b", b"--", b"-", b"QUJD\r\n", b"QUJDRA==\r\n", b"text =\r\n"),
        *(b"=3D=\r\n", b"a=\r", b"From me\r\n", b" folded\r\n", b": x\r\n", b"X: y\n", b"text"),
        *(b"begin 644 x\r\n", b"#86)C\r\n", b"`\r\nend\r\n", b"\xe9\r\n"),
        *(b"\r\n", b"\r\n", b"\n", b"\r"),
    ]
)
soups = st.lists(_LINES, max_size=40).map(b"".join)


@st.composite
def cut(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> tuple[bytes, tuple[int, ...]]:
    """Return a message, perhaps truncated, and where to cut it into pieces."""
    raw = draw(messages)
    if draw(st.booleans()):
        raw = raw[: draw(st.integers(0, len(raw)))]
    cuts = draw(st.lists(st.integers(0, len(raw)), max_size=6))
    return raw, tuple(sorted(cuts))
