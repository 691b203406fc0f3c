"""A Postfix that asks one policy service and drops its mail: for chaos and benchmarks."""

import contextlib
import shutil
import smtplib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.stack.folder import create
from tests.stack.ports import HOST, free_port
from tests.stack.postfix import DAEMONS, SERVICES
from tests.stack.probes import greets
from tests.stack.process import Process

# No DNS, no network but loopback, nothing in /etc; what is accepted is discarded.
_MAIN = """\
compatibility_level = 3.6
queue_directory = {root}/spool
data_directory = {root}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = {root}/log
maillog_file_prefixes = {root}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.edu
mydestination =
mynetworks = 127.0.0.0/8 192.0.2.0/24
alias_maps =
alias_database =
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_peername_lookup = no
smtpd_tls_security_level = none
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 10000
smtpd_hard_error_limit = 10000
smtpd_client_connection_count_limit = 0
default_transport = discard:
relay_transport = discard:
smtpd_recipient_restrictions = {policy} permit_mynetworks, reject
smtpd_data_restrictions = {policy}
{extra}
"""
_POLICY = """check_policy_service {{ {service}, timeout=10s, policy_context=submission,
    {{ default_action = 451 4.7.1 Policy service is down. Try again later. }} }}"""


@dataclass(frozen=True, slots=True)
class Relay:
    """A running Postfix."""

    port: int
    root: Path

    def session(self) -> smtplib.SMTP:
        """Connect."""
        return smtplib.SMTP(HOST, self.port, local_hostname="lab7.example.edu", timeout=60)

    @property
    def log(self) -> str:
        """Return the mail log."""
        return (self.root / "log").read_text("utf-8", "replace")


def send(
    session: smtplib.SMTP, recipients: int = 1, *, sender: str = "lab@mail.example.edu"
) -> int:
    """Send one message; return the reply to DATA, or the first refusal before it."""
    code, _ = session.docmd(f"MAIL FROM:<{sender}>")
    if code != 250:
        return code
    for number in range(recipients):
        code, _ = session.docmd(f"RCPT TO:<r{number}@elsewhere.example>")
        if code != 250:
            session.rset()
            return code
    code, _ = session.docmd("DATA")
    if code == 354:
        session.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        session.getreply()
    else:
        session.rset()
    return code


@contextlib.contextmanager
def running(service: str | None, extra: str = "", *, parent: str = "/var/tmp") -> Iterator[Relay]:
    """Start a Postfix that asks *service* (``inet:HOST:PORT``, ``unix:/path``, or none)."""
    root = create("gatepost-relay-", parent=Path(parent))
    port = free_port()
    for folder in ("conf", "spool", "data"):
        (root / folder).mkdir()
    shutil.chown(root / "data", user="postfix")
    policy = _POLICY.format(service=service) if service else ""
    main = _MAIN.format(root=root, policy=policy, extra=extra)
    (root / "conf/main.cf").write_text(main)
    (root / "conf/master.cf").write_text(f"{HOST}:{port} inet n - n - 200 smtpd\n{SERVICES}")
    subprocess.run(["postfix", "-c", str(root / "conf"), "check"], check=True)
    process = Process(
        name="relay",
        command=[str(DAEMONS / "master"), "-c", str(root / "conf")],
        log=root / "start.log",
        ready=lambda: greets(port, b"220 "),
    )
    try:
        process.start()
        yield Relay(port, root)
    finally:
        process.stop()
        shutil.rmtree(root, ignore_errors=True)
