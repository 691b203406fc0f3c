"""A table of measurements, each beside its reference."""

from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table as RichTable


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement. *ratio* is value / reference of the same run (None for the reference)."""

    name: str
    case: str
    value: float
    unit: str
    ratio: float | None = None
    note: str = ""


@dataclass(slots=True)
class Table:
    """What one benchmark measured, against *reference*."""

    title: str
    reference: str
    rows: list[Row] = field(default_factory=list)

    def show(self) -> None:
        """Print the table for people."""
        out = RichTable(
            title=self.title, caption=f"reference: {self.reference}", title_justify="left"
        )
        for column in ("what", "case"):
            out.add_column(column)
        for column in ("value", "ratio"):
            out.add_column(column, justify="right")
        out.add_column("note")
        for row in self.rows:
            ratio = "1" if row.ratio is None else f"{row.ratio:.2f}"
            out.add_row(row.name, row.case, f"{row.value:,.4g} {row.unit}", ratio, row.note)
        Console(width=110).print(out)
