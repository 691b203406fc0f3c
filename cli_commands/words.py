"""Words that people give in any case: roles and conditions."""

from typing import Any

import click


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
