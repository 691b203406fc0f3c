"""A text file given to a command, read whole, up to a limit."""

from dataclasses import dataclass
from typing import Any

import click

from config import text
from store.errors import Refused

# 500,000 accounts with all columns filled are 60 MB; more is some other file.
MAX_FILE = 64 << 20


@dataclass(frozen=True, slots=True)
class Text:
    """The lines of a file, and its name."""

    name: str
    lines: list[str]

    def checked(self) -> list[str]:
        """Return the lines; raise `Refused` at the first that is not UTF-8."""
        for number, line in enumerate(self.lines, 1):
            try:
                text.check(line, number=number)
            except text.NotText as error:
                raise Refused(f"{self.name}: {error}") from None
        return self.lines


class TextFile(click.ParamType[Text]):
    """The path of a text file, or ``-`` for standard input."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Text:
        """Return the lines; raise `Refused` if the file is too large or not text."""
        if isinstance(value, Text):
            return value
        raw = click.File("rb").convert(value, param, ctx).read(MAX_FILE + 1)
        if len(raw) > MAX_FILE:
            raise Refused(f"{value}: larger than {MAX_FILE >> 20} MiB; is this the right file?")
        try:
            return Text(value, text.lines(text.decode(raw)))
        except text.NotText as error:
            raise Refused(f"{value}: {error}") from None
