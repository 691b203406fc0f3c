"""Adds gatepost to the Postfix of this machine."""

import subprocess
from pathlib import Path

from config.loader import load
from config.setup import postconf, postfix
from config.setup.files import change_to, read
from config.setup.part import COMMAND_SECONDS, CannotSetUp, Plan, cannot_connect, command
from config.setup.record import Record

MAIN_CF = "main.cf"


class PostfixSetup:
    """The lines of main.cf that make Postfix ask gatepost."""

    name = "postfix"

    def __init__(self, path: Path, folder: Path) -> None:
        """*path* is gatepost.toml, *folder* that of main.cf."""
        self._path = path
        self._folder = folder
        self._main_cf = folder / MAIN_CF

    def is_installed_by_hand(self) -> bool:
        """Return ``False``: the lines of 0.1.0 stay as they are, and keep working."""
        return False

    def plan(self) -> Plan:
        """Return the change of main.cf, and notes on the services it does not reach."""
        text = read(self._main_cf)
        if text is None:
            raise CannotSetUp(f"{self._main_cf}: no such file; --postfix names its folder")
        if postfix.is_set_up_by_hand(text):
            raise CannotSetUp(
                f"{self._main_cf} has the lines that were added by hand for gatepost 0.1.0. They "
                "keep working; to replace them, see Upgrade in docs/operations.md"
            )
        after, notes = postfix.plan(text, load(self._path), postconf.facts(self._folder))
        return Plan([change_to(self._main_cf, after)], notes)

    def check(self) -> None:
        """Raise `CannotSetUp` unless both services answer Postfix's user: all mail would wait."""
        settings = load(self._path)
        for unit, listen in (
            ("gatepost-policyd.socket gatepost-policyd", settings.policyd.listen[0]),
            ("gatepost-milter", settings.milter.listen),
        ):
            if trouble := cannot_connect(listen, user="postfix"):
                raise CannotSetUp(
                    f"{listen}: {trouble} (as user postfix): all mail would wait. "
                    f"Run `systemctl enable --now {unit}`, then try again"
                )

    def activate(self) -> None:
        """Have Postfix check main.cf and read it."""
        warnings = subprocess.run(
            ["postconf", "-c", str(self._folder), "-n"],
            check=False, capture_output=True, text=True, timeout=COMMAND_SECONDS,
        ).stderr  # fmt: skip
        if "gatepost" in warnings:
            raise CannotSetUp(f"postconf: {warnings.strip()}")
        command("postfix", "-c", str(self._folder), "check")
        self.after_undo()

    def before_undo(self) -> None:
        """Do nothing."""

    def clean(self, path: Path, text: str) -> str | None:  # noqa: ARG002 - there is one file
        """Return *text* without gatepost, and with the sizes as they were."""
        entry = Record.load(self.name).files.get(str(self._main_cf))
        return postfix.without(text, entry.before if entry else None)

    def after_undo(self) -> None:
        """Have a running Postfix read main.cf."""
        if not command("postfix", "-c", str(self._folder), "status", check=False):
            subprocess.run(
                ["postfix", "-c", str(self._folder), "reload"],
                check=False, capture_output=True, timeout=COMMAND_SECONDS,
            )  # fmt: skip
