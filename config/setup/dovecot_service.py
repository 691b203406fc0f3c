"""Adds gatepost to the Dovecot of this machine."""

import re
import time
from pathlib import Path

from config.loader import load
from config.setup import dovecot, main_cf, postconf, postfix
from config.setup.dovecot_files import read_all, switch_on
from config.setup.files import change_to, read
from config.setup.part import CannotSetUp, Plan, cannot_connect, command
from config.setup.record import Record
from config.setup.system import HOME

CONF = Path("/etc/dovecot")
# A name that nobody has: how Dovecot says so tells whether it can ask us.
PROBE = "gatepost-setup-probe"
FOUND, UNKNOWN = 0, 67  # EX_NOUSER, as doveadm(1) has it
# Dovecot starts its auth process anew after a reload.
PROBE_SECONDS = 20


class DovecotSetup:
    """Passwords, and quota by role."""

    name = "dovecot"

    def __init__(
        self, path: Path, postfix_folder: Path, *, warnings: bool = False, end_others: bool = False
    ) -> None:
        """*path* is gatepost.toml; *warnings* mails people, *end_others* leaves only gatepost."""
        self._path = path
        self._main_cf = postfix_folder / "main.cf"
        self._warnings = warnings
        self._end_others = end_others

    def plan(self) -> Plan:
        """Return the files of ours, and what of the site's is switched off."""
        settings = load(self._path)
        release = _release()
        facts = dovecot.DovecotFacts(
            release=release,
            files=read_all(CONF / "dovecot.conf"),
            imap_plugins=_effective_plugins("imap") if release == "2.3" else "",
            has_quota_status=bool(
                re.search(r"^service quota-status ", _doveconf("-n"), re.MULTILINE)
            ),
        )
        changes, notes = dovecot.plan(
            facts,
            CONF / "conf.d",
            HOME,
            queue=(postconf.queue_directory() or postfix.DEFAULT_QUEUE).rstrip("/"),
            warnings=self._warnings,
            end_others=self._end_others,
        )
        ours = any(each.path.name == dovecot.STATUS for each in changes)
        text = read(self._main_cf)
        if ours and text is not None and main_cf.find(text, "smtpd_sasl_path"):
            changes.append(change_to(self._main_cf, postfix.plan_quota(text, settings)))
        return Plan(changes, notes)

    def check(self) -> None:
        """Nobody could sign in while authd is away."""
        settings = load(self._path)
        for listen in settings.auth.listen:
            if trouble := cannot_connect(listen, user="dovecot"):
                raise CannotSetUp(
                    f"{listen}: {trouble} (as user dovecot): nobody could sign in. "
                    "`systemctl enable --now gatepost-authd`, then again"
                )

    def activate(self) -> None:
        """Let Dovecot read the files, and see that it can look people up."""
        _doveconf("-n")
        for protocol in ("imap", "lmtp"):
            if _release() == "2.3" and "quota" not in _effective_plugins(protocol).split():
                raise CannotSetUp(
                    f"mail_plugins of protocol {protocol} lacks quota: a later file of yours sets "
                    "it without $mail_plugins; add quota there"
                )
        self._reload()
        deadline = time.monotonic() + PROBE_SECONDS
        while True:
            said = _probe()
            if not said:
                return
            if time.monotonic() > deadline:
                raise CannotSetUp(f"Dovecot cannot look anybody up: {said}")
            time.sleep(0.5)

    def before_undo(self) -> None:
        """Nothing."""

    def clean(self, path: Path, text: str) -> str | None:
        """Take out what is ours of a file that was edited since."""
        if path == self._main_cf:
            return postfix.without_quota(text)
        entry = Record.load(self.name).files.get(str(path))
        return None if entry and entry.before is None else switch_on(text)

    def after_undo(self) -> None:
        """Let Dovecot and Postfix read the old files again."""
        self._reload()

    def _reload(self) -> None:
        command("doveadm", "reload", check=False)  # fails where Dovecot does not run
        if self._main_cf.exists():
            command("postfix", "-c", str(self._main_cf.parent), "reload", check=False)


def _release() -> str:
    return ".".join(command("dovecot", "--version").split(".")[:2])


def _doveconf(*words: str) -> str:
    return command("doveconf", *words)


def _effective_plugins(protocol: str) -> str:
    return _doveconf("-f", f"protocol={protocol}", "-h", "mail_plugins").strip()


def _probe() -> str:
    """Return why a look-up fails; empty where Dovecot can ask."""
    try:
        command("doveadm", "user", PROBE)
    except CannotSetUp as error:
        text = str(error)
        return "" if "doesn't exist" in text or "exit 67" in text else text
    return ""
