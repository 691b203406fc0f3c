"""A private Postfix: the shipped files on top of what a mail server has already."""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from config.loader import load
from config.settings import Settings
from config.setup import postfix as setup
from tests.stack import programs, tls
from tests.stack.layout import Layout
from tests.stack.ports import HOST
from tests.stack.probes import greets
from tests.stack.process import Process
from tests.stack.services import sample

# Postfix's programs, where Debian keeps them.
DAEMONS = Path("/usr/lib/postfix/sbin")
# Mail to this domain is taken and thrown away: the stack's outside world.
OUTSIDE = "elsewhere.example"

# master changes its user for a moment, which makes the kernel forget that it should end with us
# (prctl(2), PR_SET_PDEATHSIG). A shell in between keeps that.
_GUARD = '"$@" & trap "kill $!" TERM; wait $!; wait $!'

# A minimal mail server with Dovecot, before gatepost: no DNS, no delays, nothing in /etc.
BASE = """\
compatibility_level = 3.6
queue_directory = {root}/postfix/spool
data_directory = {root}/postfix/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = {root}/log/postfix.log
maillog_file_prefixes = {root}, /var, /dev/stdout
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.edu
mydomain = example.edu
myorigin = mail.example.edu
mydestination =
mynetworks =
alias_maps =
alias_database =
virtual_mailbox_domains = mail.example.edu
virtual_transport = lmtp:unix:private/dovecot-lmtp
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
append_dot_mydomain = no
biff = no
smtp_host_lookup = native
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
smtpd_banner = $myhostname ESMTP
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtpd_tls_security_level = may
transport_maps = inline:{{ {outside}=discard: }}
# The tests refuse and connect more in a minute than a person in a day.
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
smtpd_client_connection_count_limit = 0
"""

# As Debian's master.cf has them, without a chroot: the folder of a test has no files for one.
SMTPD = """\
{host}:{smtp} inet n - n - - smtpd
{host}:{submission} inet n - n - - smtpd
  -o syslog_name=postfix/submission
  -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
  -o {{ smtpd_relay_restrictions = permit_sasl_authenticated, reject }}
  -o milter_macro_daemon_name=ORIGINATING
{host}:{submissions} inet n - n - - smtpd
  -o syslog_name=postfix/submissions
  -o smtpd_tls_wrappermode=yes
  -o smtpd_sasl_auth_enable=yes
  -o {{ smtpd_relay_restrictions = permit_sasl_authenticated, reject }}
  -o milter_macro_daemon_name=ORIGINATING
"""

SERVICES = """\
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
lmtp      unix  - - n - - lmtp
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """The mail server of a stack."""

    def __init__(self, layout: Layout, overrides: Mapping[str, str]) -> None:
        """Write the configuration; *overrides* are main.cf parameters of one stack."""
        self._conf = layout.root / "postfix/conf"
        self.log = layout.log / "postfix.log"
        for folder in ("conf", "spool", "data"):
            (layout.root / "postfix" / folder).mkdir(parents=True)
        shutil.chown(layout.root / "postfix/data", user="postfix")
        layout.sockets.mkdir()
        (self._conf / "main.cf").write_text(main_cf(layout, _settings(layout)))
        ports = layout.ports
        (self._conf / "master.cf").write_text(
            SMTPD.format(
                host=HOST,
                smtp=ports.smtp,
                submission=ports.submission,
                submissions=ports.submissions,
            )
            + SERVICES
        )
        sendmail = layout.root / "sendmail"  # into this queue, not the machine's
        sendmail.write_text(f'#!/bin/sh\nexec /usr/sbin/sendmail -C {self._conf} "$@"\n')
        sendmail.chmod(0o755)
        # In place: every daemon warns of a name that occurs twice. postlogd would warn through
        # itself, and hang once ten warnings fill its socket.
        if overrides:
            words = [f"{name}={value}" for name, value in overrides.items()]
            self._run("postconf", "-c", str(self._conf), "-e", *words).check_returncode()
        self._settled()
        self.process = Process(
            name="postfix",
            # In the foreground: no -w, which would detach.
            command=["sh", "-c", _GUARD, "guard", str(DAEMONS / "master"), "-c", str(self._conf)],
            log=layout.log / "postfix.start.log",
            ready=lambda: greets(layout.ports.smtp, b"220 "),
        )

    def _settled(self) -> None:
        """Make main.cf look a minute old: Postfix waits before it reads one just changed."""
        ago = time.time() - 60
        os.utime(self._conf / "main.cf", (ago, ago))

    def prepare(self) -> None:
        """Make the queue's folders, where Dovecot puts its sockets; check the configuration."""
        done = self._run("postfix", "-c", str(self._conf), "check")
        if done.returncode:
            # Without a terminal postfix says why only in its log.
            raise RuntimeError(f"postfix check failed: {done.stderr}{self.tail()}")

    def reload(self) -> None:
        """Read main.cf again, as ``postfix reload`` does."""
        self._run("postfix", "-c", str(self._conf), "reload").check_returncode()

    def flush(self) -> None:
        """Try every queued mail now."""
        self._run("postqueue", "-c", str(self._conf), "-f").check_returncode()

    def queue(self) -> str:
        """Return what waits, as ``postqueue -p`` prints it."""
        return self._run("postqueue", "-c", str(self._conf), "-p").stdout

    def tail(self, lines: int = 25) -> str:
        """Return the last lines of the mail log."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return "\n".join([*text.splitlines()[-lines:], self.process.tail(lines)])

    @staticmethod
    def _run(program: str, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [programs.path(program), *words],
            check=False, capture_output=True, text=True, timeout=30,
        )  # fmt: skip


def _settings(layout: Layout) -> Settings:
    """Return the settings of the stack, or the private sample where there is no stack."""
    if layout.settings.exists():
        return load(layout.settings)
    return Settings.model_validate(sample(layout))


def main_cf(layout: Layout, settings: Settings) -> str:
    """Return the machine's own main.cf with what `gatepost setup` adds to it."""
    base = BASE.format(
        root=layout.root,
        certificate=layout.certificate,
        key=tls.key_of(layout.certificate),
        outside=OUTSIDE,
    )
    facts = setup.PostfixFacts(
        version=setup.MIN_VERSION,
        queue_directory=str(layout.spool),
        defaults={"disable_vrfy_command": "no", **dict.fromkeys(setup.SIZES, "51200000")},
        services=(),
        overrides={},
        free=1 << 40,
    )
    with_policy, _ = setup.plan(base, settings, facts)
    return setup.plan_quota(with_policy, settings)
