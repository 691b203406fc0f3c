"""A private Dovecot, 2.3 or 2.4: the shipped snippets, included as a site does."""

import shutil
import subprocess
import sys
from pathlib import Path

import dovecot_auth
from tests.stack import programs, shipped, tls
from tests.stack.dovecot_release import BASE_2_4, release
from tests.stack.layout import Layout
from tests.stack.probes import greets
from tests.stack.process import Process

SNIPPETS = (
    "00-gatepost-names.conf",
    "gatepost-auth.conf",
    "gatepost-quota.conf",
    "gatepost-quota-status.conf",
    "gatepost-postfix.conf",
)
# What Dovecot's own user runs at each login; it must be able to read it.
SCRIPT = "dovecot_auth/checkpassword"

BASE = """\
base_dir = {root}/dovecot/run
state_dir = {root}/dovecot/state
instance_name = {root.name}
log_path = {root}/log/dovecot.log
auth_verbose = yes
listen = 127.0.0.1
protocols = imap pop3
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
mail_location = maildir:~/Maildir
# A wrong password is answered at once: the tests give more of them than a person.
auth_failure_delay = 0
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@mail.example.edu
}}
service imap-login {{
  inet_listener imap {{
    port = {ports.imap}
  }}
  inet_listener imaps {{
    port = {ports.imaps}
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {ports.pop3}
  }}
  inet_listener pop3s {{
    port = {ports.pop3s}
  }}
}}
!include conf.d/*.conf
"""


class Dovecot:
    """The mailboxes and passwords of a stack."""

    def __init__(self, layout: Layout) -> None:
        """Write the configuration and put the login script where user dovecot can read it."""
        folder = layout.root / "dovecot"
        for name in ("run", "state", "conf.d"):
            (folder / name).mkdir(parents=True)
        self._conf = folder / "dovecot.conf"
        self._conf.write_text(
            (BASE if release() == "2.3" else BASE_2_4).format(
                root=layout.root,
                ports=layout.ports,
                certificate=layout.certificate,
                key=tls.key_of(layout.certificate),
            )
        )
        for name in SNIPPETS:
            (folder / "conf.d" / name).write_text(snippet(name, layout))
        _copy_script(layout.root / "lib")
        self.log = layout.log / "dovecot.log"
        self.process = Process(
            name="dovecot",
            command=[programs.path("dovecot"), "-F", "-c", str(self._conf)],
            log=layout.log / "dovecot.start.log",
            ready=lambda: greets(layout.ports.imap, b"* OK"),
        )

    def doveadm(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run doveadm on this instance."""
        return subprocess.run(
            [programs.path("doveadm"), "-c", str(self._conf), *words],
            check=False, capture_output=True, text=True, timeout=30,
        )  # fmt: skip

    def tail(self, lines: int = 25) -> str:
        """Return the last lines of the log."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return "\n".join([*text.splitlines()[-lines:], self.process.tail(lines)])


def snippet(name: str, layout: Layout) -> str:
    """Return a shipped snippet with its paths made private."""
    private = {
        "00-gatepost-names.conf": {},
        "gatepost-auth.conf": _script(layout),
        "gatepost-quota.conf": {},
    }.get(name, {"/var/spool/postfix": str(layout.spool)})
    return shipped.text(f"dovecot-{release()}/{name}", private)


def _script(layout: Layout) -> dict[str, str]:
    if release() != "2.3":
        return {"/opt/gatepost/passdb.lua": str(_copy_lua(layout))}
    private = (
        f"{layout.root}/lib/{SCRIPT}/script.py --socket {layout.run}/auth.sock"
        f" --config {layout.settings} --python {sys.executable}"
    )
    # In the stack, group dovecot owns what group gatepost owns on a site.
    return {"/opt/gatepost/checkpassword": private, "extra_groups = gatepost": "extra_groups ="}


def _copy_script(lib: Path) -> None:
    """Copy the package of the login script to where Dovecot's own user can read it.

    The repository may lie in a home directory that only its owner can enter.
    """
    source = Path(dovecot_auth.__file__).parents[1] / SCRIPT
    shutil.copytree(source, lib / SCRIPT, ignore=shutil.ignore_patterns("__pycache__"))


def _copy_lua(layout: Layout) -> Path:
    """Copy passdb.lua, asking this stack's authd."""
    source = (Path(dovecot_auth.__file__).parent / "passdb.lua").read_text()
    target = layout.root / "lib/passdb.lua"
    target.parent.mkdir(exist_ok=True)
    target.write_text(source.replace("/run/gatepost/auth.sock", f"{layout.run}/auth.sock"))
    return target
