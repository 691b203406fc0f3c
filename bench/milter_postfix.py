"""A private Postfix with one port for each milter; what is delivered is thrown away."""

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.loader import load
from store import schema
from store.audit import AuditContext
from store.engine import Store
from store.people import accounts
from tests.stack import programs, spamd, tables, tls
from tests.stack.layout import Layout
from tests.stack.ports import HOST, free_port
from tests.stack.postfix import Postfix
from tests.stack.probes import answers, listens
from tests.stack.process import NotStarted, Process
from tests.stack.services import sample

EMPTY = Path(__file__).with_name("milter_empty.py")
RECIPIENT = "staff@mail.example.edu"
# spamc passes what is over 500 KB unscanned; we scan the first 512 KiB of it. A mail of
# 1 MB is scanned by both; the whole of 50 MB would take SpamAssassin minutes.
SPAMC_MAX = 2_000_000
# Just Postfix and a milter: no policy service, no delivery.
_BARE = {
    "smtpd_recipient_restrictions": "",
    "smtpd_data_restrictions": "",
    "smtpd_relay_restrictions": "reject_unauth_destination",
    "smtpd_milters": "",
    "virtual_transport": "discard:",
    "in_flow_delay": "0",  # otherwise Postfix slows clients that send faster than it delivers
}


@dataclass(frozen=True, slots=True)
class Way:
    """One way for mail to get in: a port of Postfix, behind it a milter or none."""

    name: str
    port: int


@contextmanager
def ways(names: list[str]) -> Iterator[dict[str, Way]]:
    """Run Postfix and the milters of *names*; yield a way for each."""
    layout = Layout.create()
    with ExitStack() as stack:
        stack.callback(layout.remove)
        found = {name: Way(name, free_port()) for name in names}
        scanner = spamd.process(layout)
        started = [scanner] if {"gatepost + spamd", "spamass-milter"} & set(names) else []
        milters = {name: _milter(name, layout) for name in names if name != "no milter"}
        started += [process for process, _ in milters.values()]
        tls.make(layout.certificate)  # smtpd does not start without
        postfix = Postfix(layout, _BARE)
        lines = [
            f"{HOST}:{way.port} inet n - n - - smtpd"
            f" -o smtpd_milters={milters[name][1] if name in milters else ''}\n"
            for name, way in found.items()
        ]
        conf = layout.root / "postfix/conf/master.cf"
        conf.write_text(conf.read_text() + "".join(lines))
        postfix.prepare()
        for process in (*started, postfix.process):
            stack.callback(process.stop)
            try:
                process.start()
            except NotStarted as error:
                raise NotStarted(f"{error}\n{postfix.tail()}") from None
        yield found


def _milter(name: str, layout: Layout) -> tuple[Process, str]:
    """Return the milter's process and where Postfix finds it."""
    path = layout.run / f"{name.replace(' ', '')}.sock"
    where = f"unix:{path}"
    match name:
        case "empty pymilter":
            command = [sys.executable, "-I", str(EMPTY), where]
        case "spamass-milter":
            program = programs.path("spamass-milter")
            port = str(layout.ports.spamd)
            scanner = ["-d", HOST, "-p", port, "-s", str(SPAMC_MAX)]
            command = [program, "-p", str(path), "--", *scanner]
        case "gatepost, TCP":
            port = str(free_port())
            where = f"inet:{HOST}:{port}"
            command = _gatepost(name, layout, where, "")
        case "gatepost + spamd":
            command = _gatepost(name, layout, where, f"{HOST}:{layout.ports.spamd}")
        case _:
            command = _gatepost(name, layout, where, "")
    ready = (
        (lambda: answers(path))
        if where.startswith("unix:")
        else (lambda: listens(int(where.rpartition(":")[2])))
    )
    log = layout.log / f"{path.stem}.log"
    return Process(name=name, command=command, log=log, ready=ready, group="postfix"), where


def _gatepost(name: str, layout: Layout, listen: str, scanner: str) -> list[str]:
    # Not the name of the stack's own folder: Postfix would be set up for these settings.
    folder = layout.root / f"milter-{name.replace(' ', '')}"
    folder.mkdir()
    shutil.chown(folder, group="postfix")
    folder.chmod(0o2770)
    private = {
        "store": {"url": f"sqlite:///{folder}/gatepost.db"},
        "milter": {"listen": listen},
        "spam": {"spamd": scanner},
    }
    conf = folder / "gatepost.toml"
    conf.write_text(tables.dumps(tables.merged(sample(layout), private)))
    settings = load(conf)
    store = Store(settings.store.url)
    schema.upgrade(store)
    why = AuditContext("bench", "bench")
    accounts.add(store, settings, accounts.NewAccount(name="staff", role="staff"), change=why)
    store.close()
    return [sys.executable, "-I", "-m", "milters", "--config", str(conf)]


def message(path: Path, size: int) -> Path:
    """Write a mail of *size* bytes, almost all of it one attachment in base64."""
    head = (
        "From: sender@elsewhere.example\nTo: staff@mail.example.edu\nSubject: bench\n"
        'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="=_x"\n\n--=_x\n'
        "Content-Type: text/plain\n\nThe file is attached.\n--=_x\n"
        'Content-Type: application/pdf; name="a.pdf"\nContent-Transfer-Encoding: base64\n\n'
    )
    end = "--=_x--\n"
    body = base64.encodebytes(os.urandom((size - len(head) - len(end)) * 57 // 77))
    path.write_bytes(head.encode() + body + end.encode())
    return path


def send(way: Way, mail: Path, *, sessions: int, count: int) -> None:
    """Send *mail* *count* times in as many parallel *sessions*; raise unless all were taken."""
    subprocess.run(
        [
            programs.path("smtp-source"), "-s", str(sessions), "-m", str(count),
            "-f", "sender@elsewhere.example", "-t", RECIPIENT, "-F", str(mail),
            f"inet:{HOST}:{way.port}",
        ],
        check=True, timeout=900, capture_output=True,
    )  # fmt: skip
