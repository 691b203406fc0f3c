"""Mail made to hurt whoever reads it (check 11): bounded time and memory.

Each bomb goes through the milter's message in a process of its own, whose CPU time
and peak memory are then known exactly.
"""

import json
import subprocess
import sys

import pytest

# A process each, a minute together: not for every save of a file.
pytestmark = pytest.mark.integration
MAX_CPU = 2.0
MAX_RSS_MIB = 200
_RUN = """
import json, re, resource, sys
from config.settings import Settings
from milters.envelope import Envelope
from milters.dependencies import Dependencies
from milters.message import Message
from milters.spam import Report
from milters.verdict import Accept

class Limits:
    def limit_for(self, address): return 10 << 20
    def owner(self, address): return address

def scan(read):  # what is kept for spamd, and for a notice, counts as well
    assert len(read()) < 2 << 20
    return Report(is_spam=True, score=9, threshold=5)

settings = Settings.model_validate(
    {"site": {"domains": ["x.example"]}, "store": {"url": "sqlite:////x"}})
tools = Dependencies(settings, Limits(), scan, None)

def message(header, pieces):
    made = Message(Envelope("192.0.2.1", "c", "", "<a@b>", "user", False, None, "d"), tools)
    made.recipient("<a@x.example>")
    for name, value in header:
        made.header(name, value)
    for piece in pieces:
        if not made.body(piece):
            break
    return made.verdict()

def cut(raw):
    return (raw[at:at + 65535] for at in range(0, len(raw), 65535))

MIXED = [("Content-Type", b"multipart/mixed; boundary=b")]
PDF = b"--b\\r\\nContent-Type: application/pdf\\r\\n\\r\\nx\\r\\n"
DEEP = b"".join(
    b"--b%d\\r\\nContent-Type: multipart/mixed; boundary=b%d\\r\\n\\r\\n" % (n, n + 1)
    for n in range(10_000))
DEEP_AS_ALLOWED = DEEP[:DEEP.index(b"--b48")] + b"--b48\\n"
NESTED = [("Content-Type", b"multipart/mixed; boundary=b0")]
BOMBS = {
    "nested": (NESTED, cut(DEEP)),
    "nested messages": (MIXED, cut(
        b"--b\\r\\n" + b"Content-Type: message/rfc822\\r\\n\\r\\n" * 10_000)),
    "flat": (MIXED, cut(PDF * 100_000)),
    "no closing boundary": (MIXED, cut(b"--b\\r\\n\\r\\n" + b"x" * (8 << 20))),
    "no boundary": ([("Content-Type", b"multipart/mixed")], cut(b"x" * (8 << 20))),
    "headers": ([("X-%d" % n, b"x") for n in range(100_000)], []),
    "a field over and over, 50 MB": ([("Subject", b"x" * 102_400)] * 500, []),
    "a subject in another charset": ([("Subject", b"\\xe9 a " * 25_000)], []),
    "headers of a part": (MIXED, cut(b"--b\\r\\n" + b"X: y\\r\\n" * 1_000_000)),
    "a delimiter over and over": (NESTED, (
        DEEP_AS_ALLOWED if n == 0 else b"--b48\\n" * 10_000 for n in range(300))),
    "short lines in a deep header": (NESTED, (
        DEEP_AS_ALLOWED if n == 0 else b"--:\\n" * 15_000 for n in range(300))),
    "header of 50 MB": (MIXED, (b"--b\\r\\nX: " if n == 0 else b"y" * 65535 for n in range(800))),
    "header of 1 GB": (MIXED, (b"--b\\r\\nX: " if n == 0 else b"y" * 65535 for n in range(16_000))),
    "folded header of 50 MB": (MIXED, (
        b"--b\\r\\nContent-Type: x" if n == 0 else b"\\r\\n y" * 16000 for n in range(800))),
    "parameters": ([("Content-Type", b"text/plain" + b"".join(
        b"; name*%d*=utf-8''%%41" % n for n in range(6_000)))], [b"x"]),
    "semicolons": (MIXED, cut((b"--b\\r\\nContent-Type: image/png; name=" + b";" * 4000
                               + b"\\r\\n\\r\\n") * 1000)),
    "quotes": (MIXED, cut((b'--b\\r\\nContent-Type: image/png; name="' + b";" * 4000
                           + b"\\r\\n\\r\\n") * 1000)),
    "comments": (MIXED, cut((b"--b\\r\\nContent-Type: " + b"(" * 4000
                             + b"\\r\\nno field\\r\\n" * 20) * 1000)),
    "sections": (MIXED, cut((b"--b\\r\\nContent-Type: multipart/mixed" + b"".join(
        b"; boundary*%d=x" % n for n in range(250)) + b"\\r\\n\\r\\n") * 1000)),
    "parentheses": ([("To", b"(" * 8_000)], [b"x"]),
    "recipients": ([("To", b"a@b, " * 100_000)], [b"x"]),
    "delimiters that are none": (MIXED, cut(b"--bb\\r\\n" * 4_000_000)),
    "dashes": ([("Content-Type", b"multipart/mixed; boundary=-----")], cut(b"-" * (32 << 20))),
    "blanks after a boundary": (MIXED, cut((b"--b" + b" " * 900 + b"x\\r\\n") * 30_000)),
    "multiparts side by side": (MIXED, cut(b"".join(
        b"--b\\r\\nContent-Type: multipart/mixed; boundary=c%d\\r\\n\\r\\n" % n
        for n in range(5_000)))),
}
verdict = message(*BOMBS[sys.argv[1]])
used = resource.getrusage(resource.RUSAGE_SELF)
# Not ru_maxrss: Linux hands the size of the process that called exec() on to the new one.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
after = message([("Content-Type", b"application/pdf")], [b"x" * 1000])
print(json.dumps({
    "verdict": type(verdict).__name__, "cpu": used.ru_utime + used.ru_stime,
    "mib": peak / 1024, "next": isinstance(after, Accept)}))
"""
# What arrives is over the limit of 10 MiB, or it is small and harms nobody.
BOMBS = {
    "nested": "Accept",
    "nested messages": "Accept",
    "flat": "Accept",
    "no closing boundary": "Accept",
    "no boundary": "Accept",
    "headers": "Accept",
    "a field over and over, 50 MB": "Refuse",  # spam with more subjects than are tagged
    "a subject in another charset": "Accept",
    "headers of a part": "Accept",
    "a delimiter over and over": "Refuse",
    "short lines in a deep header": "Refuse",
    "header of 50 MB": "Refuse",
    "header of 1 GB": "Refuse",
    "folded header of 50 MB": "Refuse",
    "parameters": "Accept",
    "semicolons": "Accept",
    "quotes": "Accept",
    "comments": "Accept",
    "sections": "Accept",
    "parentheses": "Accept",
    "recipients": "Accept",
    "delimiters that are none": "Refuse",
    "dashes": "Refuse",
    "blanks after a boundary": "Refuse",
    "multiparts side by side": "Accept",
}


@pytest.mark.parametrize(("bomb", "verdict"), BOMBS.items())
def test_a_bomb_costs_no_more_than_ordinary_mail(bomb: str, verdict: str) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", _RUN, bomb], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["verdict"] == verdict
    assert seen["cpu"] <= MAX_CPU
    assert seen["mib"] <= MAX_RSS_MIB
    assert seen["next"]
