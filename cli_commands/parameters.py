"""Types and options that several commands share."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from config.units import parse_moment, parse_span


class LowerCase(click.ParamType[str]):
    """A role or condition: lower case, however it is typed."""

    name = "text"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,  # noqa: ARG002 - click's signature
        ctx: click.Context | None,  # noqa: ARG002
    ) -> str:
        """Return *value* in lower case."""
        return str(value).strip().casefold()


LONGEST_YEARS = 10  # for longer, use --permanent or leave the span out
LONGEST_SPAN = LONGEST_YEARS * 366 * 86400


class Span(click.ParamType[int]):
    """A time span such as 60m, in seconds; zero and more than ten years are rejected as slips."""

    name = "span"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return seconds."""
        try:
            seconds = value if isinstance(value, int) else parse_span(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not 0 < seconds <= LONGEST_SPAN:
            self.fail(f"{value!r}: a time span is between 1s and {LONGEST_YEARS} years", param, ctx)
        return seconds


class Until(click.ParamType[int]):
    """A date (2027-01-31), a time (2027-01-31T12:00), or a span from now (30d); Unix seconds."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return Unix seconds; a time without a zone is the operator's own."""
        if isinstance(value, int):
            return value
        now = datetime.now(UTC)
        with contextlib.suppress(ValueError):
            parse_span(value)  # raises unless it is a span
            return int(now.timestamp()) + Span().convert(value, param, ctx)
        try:
            at = parse_moment(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is neither a date (2027-01-31) nor a span (30d)", param, ctx)
        if at <= now:
            self.fail(f"{value} is in the past", param, ctx)
        return int(at.timestamp())


Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class ReasonOption(click.Option):
    """``--reason``; ``--why``, its name on some commands before, still works and is not shown."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Add both names to *parser*."""
        super().add_to_parser(parser, ctx)
        parser.add_option(self, ["--why"], dest=self.name, action="store", nargs=1)


def reason_option(
    *, required: bool = False, text: str = "Reason, recorded in the audit log."
) -> Callable[[Decorated], Decorated]:
    """Return the option ``--reason TEXT``, the audit log's reason for a change."""
    default: dict[str, str] = {} if required else {"default": ""}
    return click.option(
        "--reason", cls=ReasonOption, required=required, metavar="TEXT", help=text, **default
    )
