"""The programs a stack needs, or the command that installs them."""

import os
import shutil
from pathlib import Path

_SEARCH = "/usr/sbin:/usr/bin:/sbin:/bin"
_OF_A_STACK = {
    "dovecot": "dovecot-core",
    "doveadm": "dovecot-core",
    "openssl": "openssl",
    "postfix": "postfix",
    "postconf": "postfix",
    "setpriv": "util-linux",
    "spamd": "spamd spamassassin",
    "/usr/lib/dovecot/imap": "dovecot-imapd",
    "/usr/lib/dovecot/lmtp": "dovecot-lmtpd",
    "/usr/lib/dovecot/pop3": "dovecot-pop3d",
    "/usr/lib/postfix/sbin/master": "postfix",
}
_OF_TESTS = {
    "doveconf": "dovecot-core",
    "opendkim": "opendkim",
    "opendkim-testmsg": "opendkim-tools",
    "postqueue": "postfix",
    "systemd-analyze": "systemd",
}
_ALL = _OF_A_STACK | _OF_TESTS


class Missing(RuntimeError):  # noqa: N818 - reads as what happened
    """A program is not installed; the text says how to install it."""


def path(name: str) -> str:
    """Return the path of a program."""
    found = shutil.which(name, path=_SEARCH)
    if found is None:
        raise Missing(f"{name} is not installed: {_install([name])}")
    return found


def check_all() -> None:
    """Raise `Missing` for everything that is not there, in one text."""
    missing = [
        name
        for name in _OF_A_STACK
        if not (Path(name).exists() if name.startswith("/") else shutil.which(name, path=_SEARCH))
    ]
    if missing:
        raise Missing(f"not installed: {', '.join(missing)}; {_install(missing)}")
    if os.geteuid() != 0:
        # Postfix's master gives each of its daemons their user, and so does Dovecot's.
        raise Missing("the private mail server has to be started by root: sudo ./dev …")


def _install(missing: list[str]) -> str:
    packages = sorted({_ALL.get(name, name) for name in missing})
    return f"apt-get install --no-install-recommends {' '.join(packages)}"
