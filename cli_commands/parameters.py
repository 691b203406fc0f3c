"""Words that people give in any case: roles and conditions."""

import contextlib
from datetime import UTC, datetime
from typing import Any

import click

from config.units import parse_moment, parse_span


class LowerCase(click.ParamType[str]):
    """A word, kept in lower case."""

    name = "text"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,  # noqa: ARG002 - click's signature
        ctx: click.Context | None,  # noqa: ARG002
    ) -> str:
        """Return the word."""
        return str(value).strip().casefold()


LONGEST_YEARS = 10  # longer is said with --permanent, or by leaving the span out
LONGEST_SPAN = LONGEST_YEARS * 366 * 86400


class Span(click.ParamType[int]):
    """A time span such as 60m, in seconds; no time at all and more than ten years are slips."""

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
            parse_span(value)  # a span, then, and nothing else
            return int(now.timestamp()) + Span().convert(value, param, ctx)
        try:
            at = parse_moment(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no date (2027-01-31) and no span (30d)", param, ctx)
        if at <= now:
            self.fail(f"{value} is over already", param, ctx)
        return int(at.timestamp())
