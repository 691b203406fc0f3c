"""The folders and ports of one stack, chosen once and known to all parts."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.stack import folder
from tests.stack.ports import free_ports

MAIL_UID = 5000  # site.mail_uid as shipped
_ENTERABLE = 0o001


@dataclass(frozen=True, slots=True)
class Ports:
    """The TCP ports of one stack, all on loopback."""

    smtp: int
    submission: int
    submissions: int
    imap: int
    imaps: int
    pop3: int
    pop3s: int
    spamd: int
    policyd: int
    portal: int

    @classmethod
    def choose(cls) -> Self:
        """Choose ports that nobody listens on now."""
        return cls(*free_ports(len(cls.__slots__)))


@dataclass(frozen=True, slots=True)
class Layout:
    """One folder and its ports."""

    root: Path
    ports: Ports

    @classmethod
    def create(cls) -> Self:
        """Make the folder; fail early where Postfix and Dovecot cannot enter it."""
        root = folder.create("gatepost-stack-")
        for each in (root, *root.parents):
            # The servers' own messages do not name the closed parent.
            if not each.stat().st_mode & _ENTERABLE:
                raise PermissionError(f"{each}: users postfix and dovecot cannot enter it")
        layout = cls(root, Ports.choose())
        for each in (layout.log, layout.run, layout.mail):
            each.mkdir()
        os.chown(layout.mail, MAIL_UID, MAIL_UID)
        return layout

    def remove(self) -> None:
        """Remove the folder; a server still dying may be writing in it."""
        shutil.rmtree(self.root, ignore_errors=True)

    @property
    def log(self) -> Path:
        """Return the folder of the logs."""
        return self.root / "log"

    @property
    def run(self) -> Path:
        """Return the folder of gatepost's sockets, /run/gatepost of a site."""
        return self.root / "run"

    @property
    def mail(self) -> Path:
        """Return the folder of the mailboxes, /var/vmail of a site."""
        return self.root / "mail"

    @property
    def spool(self) -> Path:
        """Return Postfix's queue, /var/spool/postfix of a site."""
        return self.root / "postfix/spool"

    @property
    def sockets(self) -> Path:
        """Return the folder of the sockets that Postfix asks."""
        return self.spool / "gatepost"

    @property
    def certificate(self) -> Path:
        """Return the self-signed certificate; its key lies beside it."""
        return self.root / "tls.crt"

    @property
    def settings(self) -> Path:
        """Return gatepost's configuration."""
        return self.root / "gatepost/gatepost.toml"
