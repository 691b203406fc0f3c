"""Adds gatepost to the Dovecot of this machine."""

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
# A name that no account has: how Dovecot reports it shows whether authd answered.
PROBE = "gatepost-setup-probe"
# Dovecot restarts its auth process after a reload.
PROBE_SECONDS = 20


class DovecotSetup:
    """Passwords, and quota by role."""

    name = "dovecot"

    def __init__(
        self, path: Path, postfix_folder: Path, *, warnings: bool = False, end_others: bool = False
    ) -> None:
        """Set up from *path*, a gatepost.toml.

        *warnings* mails users whose mailbox fills up; *end_others* leaves gatepost's passdb only.
        """
        self._path = path
        self._main_cf = postfix_folder / "main.cf"
        self._warnings = warnings
        self._end_others = end_others

    def is_installed_by_hand(self) -> bool:
        """Return whether gatepost's passdb is where the page of 0.1.0 had it copied to."""
        return (CONF / "conf.d" / dovecot.AUTH).exists()

    def plan(self) -> Plan:
        """Return gatepost's own files, and the lines of the site that are switched off."""
        settings = load(self._path)
        release = _release()
        facts = dovecot.DovecotFacts(
            release=release,
            files=read_all(CONF / "dovecot.conf"),
            imap_plugins=_effective_plugins("imap") if release == "2.3" else "",
            recorded=frozenset(map(Path, Record.load(self.name).files)),
        )
        changes, notes = dovecot.plan(
            facts,
            CONF / "conf.d",
            HOME,
            queue=(postconf.queue_directory() or postfix.DEFAULT_QUEUE).rstrip("/"),
            warnings=self._warnings,
            end_others=self._end_others,
        )
        has_status = any(change.path.name == dovecot.STATUS for change in changes)
        text = read(self._main_cf)
        if has_status and text is not None and _asks_dovecot(text):
            changes.append(change_to(self._main_cf, postfix.plan_quota(text, settings)))
        return Plan(changes, notes)

    def check(self) -> None:
        """Raise `CannotSetUp` unless authd answers Dovecot's user: no one could sign in."""
        settings = load(self._path)
        for listen in settings.auth.listen:
            if trouble := cannot_connect(listen, user="dovecot"):
                raise CannotSetUp(
                    f"{listen}: {trouble} (as user dovecot): no one could sign in. "
                    "Run `systemctl enable --now gatepost-authd`, then try again"
                )

    def activate(self) -> None:
        """Have Dovecot read the files, and make sure that it can look users up."""
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
            trouble = _probe()
            if not trouble:
                return
            if time.monotonic() > deadline:
                raise CannotSetUp(f"Dovecot cannot look users up: {trouble}")
            time.sleep(0.5)

    def before_undo(self) -> None:
        """Do nothing."""

    def clean(self, path: Path, text: str) -> str | None:
        """Return *text* without gatepost's part of it."""
        if path == self._main_cf:
            return postfix.without_quota(text)
        entry = Record.load(self.name).files.get(str(path))
        return None if entry and entry.before is None else switch_on(text)

    def after_undo(self) -> None:
        """Have Dovecot and Postfix read the old files again."""
        self._reload()

    def _reload(self) -> None:
        command("doveadm", "reload", check=False)  # fails when Dovecot is not running
        if self._main_cf.exists():
            command("postfix", "-c", str(self._main_cf.parent), "reload", check=False)


def _asks_dovecot(text: str) -> bool:
    """Return whether the main.cf *text* uses this Dovecot, and nobody added gatepost by hand."""
    uses = main_cf.find(text, "smtpd_sasl_path") is not None
    return uses and not postfix.is_set_up_by_hand(text)


def _release() -> str:
    return ".".join(command("dovecot", "--version").split(".")[:2])


def _doveconf(*words: str) -> str:
    return command("doveconf", *words)


def _effective_plugins(protocol: str) -> str:
    return _doveconf("-f", f"protocol={protocol}", "-h", "mail_plugins").strip()


def _probe() -> str:
    """Return why a lookup fails; empty when authd answers."""
    try:
        command("doveadm", "user", PROBE)
    except CannotSetUp as error:
        text = str(error)
        return "" if "doesn't exist" in text or "exit 67" in text else text
    return ""
