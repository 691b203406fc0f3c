"""The services of gatepost as children, and the command line as an operator runs it."""

import os
import pwd
import secrets
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.stack import shipped, tables
from tests.stack.layout import Layout
from tests.stack.ports import HOST
from tests.stack.probes import answers, listens
from tests.stack.process import Process

COMMAND_SECONDS = 60
# The command runs in its own interpreter, without a terminal: plain text, fixed width.
_PLAIN = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "COLUMNS": "120"}


class Services:
    """gatepost, as a site runs it: one configuration, one store, one process a service."""

    def __init__(self, layout: Layout, overrides: Mapping[str, Any]) -> None:
        """Write the configuration; *overrides* are tables laid over the shipped sample."""
        self._settings = layout.settings
        folder = layout.settings.parent
        folder.mkdir()
        # As in gatepost.tmpfiles.conf: what is made here belongs to the group.
        os.chown(folder, -1, pwd.getpwnam("dovecot").pw_gid)
        folder.chmod(0o2770)
        database = folder / "gatepost.db"
        database.touch()
        database.chmod(0o660)
        _write_private(folder / "secret.key", secrets.token_hex(32))
        self.table = tables.merged(sample(layout), overrides)
        self._write()
        self.processes = {
            "policyd": self._service("policyd", layout, "postfix"),
            # The primary group may connect to the socket, as Group= in the units.
            "milter": self._service("milters", layout, "postfix"),
            "authd": self._service("dovecot_auth", layout, "dovecot"),
        }

    def upgrade_store(self) -> None:
        """Make the tables."""
        self.command("db", "upgrade").check_returncode()

    def configure(self, overrides: Mapping[str, Any]) -> None:
        """Lay *overrides* over the configuration; in force after a SIGHUP or restart."""
        self.table = tables.merged(self.table, overrides)
        self._write()

    def command(self, *words: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        """Run ``gatepost`` with *words*, and *given* on its standard input."""
        return subprocess.run(
            [str(Path(sys.executable).parent / "gatepost"), *words],
            check=False,
            input=given,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            env={**_PLAIN, "GATEPOST_CONFIG": str(self._settings)},
            umask=0o007,
        )

    def _write(self) -> None:
        # Whole or not at all: a service may be reading it.
        new = self._settings.with_suffix(".new")
        _write_private(new, tables.dumps(self.table))
        new.rename(self._settings)

    def _service(self, package: str, layout: Layout, group: str) -> Process:
        return Process(
            name=package,
            command=[sys.executable, "-I", "-m", package, "--config", str(self._settings)],
            log=layout.log / f"{package}.log",
            ready=_probes(layout)[package],
            group=group,
        )


def sample(layout: Layout) -> dict[str, Any]:
    """Return the shipped sample with its paths and ports made private."""
    ports = layout.ports
    table = tomllib.loads(shipped.text("gatepost.toml", {}))
    private = {
        "site": {
            "mail_home": f"{layout.mail}/{{name}}",
            "key_file": str(layout.settings.with_name("secret.key")),
            "smtp": f"inet:{HOST}:{ports.smtp}",
            "sendmail": str(layout.root / "sendmail"),
        },
        "store": {"url": f"sqlite:///{layout.settings.with_name('gatepost.db')}"},
        "spam": {"spamd": f"{HOST}:{ports.spamd}"},
        # The first is Postfix's; the tests ask at the port.
        "policyd": {
            "listen": [f"unix:{layout.sockets}/policyd.sock", f"inet:{HOST}:{ports.policyd}"]
        },
        "milter": {"listen": f"unix:{layout.sockets}/milter.sock"},
        "auth": {"listen": [f"unix:{layout.run}/auth.sock"]},
        "portal": {"listen": f"inet:{HOST}:{ports.portal}"},
    }
    return tables.merged(table, private)


def _write_private(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o640)


def _probes(layout: Layout) -> dict[str, Callable[[], bool]]:
    return {
        "policyd": lambda: listens(layout.ports.policyd),
        "milters": lambda: answers(layout.sockets / "milter.sock"),
        "dovecot_auth": lambda: answers(layout.run / "auth.sock"),
    }
