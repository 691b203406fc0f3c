"""``./dev demo``: a real mail server with gatepost, and a tour of it.

Exit code 0 when every step went as promised, 1 when one did not, or when a kept server
ended by itself. Ends with Ctrl-C or SIGTERM at any time, and leaves nothing behind.
"""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.demo.keep import hints
from tests.demo.tour import STEPS, Outcome, Step, Tour
from tests.stack.programs import Missing
from tests.stack.stack import Stack

POLL_SECONDS = 1.0
_TERMINATED = 128 + signal.SIGTERM
_INTERRUPTED = 128 + signal.SIGINT

console = Console(highlight=False)
Result = tuple[str, Outcome, float]


def main() -> int:
    """Run the tour; return the exit code."""
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the server running at the end")
    parser.add_argument("--no-tour", action="store_true", help="only the server, with --keep")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        return _demo(STEPS[: 0 if options.no_tour else None], keep=options.keep)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (Missing, PermissionError) as error:
        console.print(f"demo: {error}", style="red", markup=False)
        return 1


def _demo(steps: Sequence[tuple[str, Step]], *, keep: bool) -> int:
    began = time.monotonic()
    console.print("[bold]gatepost demo[/]: Postfix, Dovecot, spamd and gatepost on loopback …")
    with Stack() as stack:
        console.print(f"up in {time.monotonic() - began:.1f} s, all of it in {stack.layout.root}\n")
        tour = Tour(
            stack=stack,
            staff=stack.add_account("staff", "alice"),
            student=stack.add_account("student", "s1120047"),
            alumni=stack.add_account("alumni", "carol"),
            computer=stack.computer(),
        )
        results = [take(number, *step, tour) for number, step in enumerate(steps, 1)]
        wrong = sum(not outcome.right for _, outcome, _ in results)
        if results:
            _summary(results, time.monotonic() - began)
        if wrong:
            console.print(stack.logs(), markup=False)
        if keep:
            _keep(tour)  # returns only when a server is gone
            return 1
    return 1 if wrong else 0


def take(number: int, title: str, step: Step, tour: Tour) -> Result:
    """Do one step and print its line."""
    began = time.monotonic()
    try:
        outcome = step(tour)
    except Exception as error:  # noqa: BLE001 - a step that breaks is a result; the tour goes on
        outcome = Outcome("", f"{type(error).__name__}: {error}", right=False)
    mark = "[green]✓[/]" if outcome.right else "[red]✗[/]"
    console.print(
        f"{mark} {number:2} [bold]{title}[/]  [cyan]→ {escape(outcome.sent)}[/]"
        f"  ← {escape(outcome.said)}",
        soft_wrap=True,  # one line a step, however long: to be read and grepped
    )
    return title, outcome, time.monotonic() - began


def _summary(results: list[Result], seconds: float) -> None:
    table = Table(title=f"\n{len(results)} steps, {seconds:.0f} s in all", title_justify="left")
    table.add_column("step")
    table.add_column("as promised")
    table.add_column("seconds", justify="right")
    for title, outcome, took in results:
        table.add_row(title, "[green]yes[/]" if outcome.right else "[red]NO[/]", f"{took:.1f}")
    console.print(table)


def _keep(tour: Tour) -> None:
    """Explain how to use the stack; return when the user or a server ends it."""
    console.print("\n[bold]The server goes on running; Ctrl-C ends it.[/]")
    for hint in hints(tour.stack, tour.staff, tour.student):
        console.print(f"\n# {hint.purpose}", style="dim")
        console.print(hint.command, markup=False, soft_wrap=True)
    while all(each.alive for each in tour.stack.processes):
        time.sleep(POLL_SECONDS)
    gone = ", ".join(each.name for each in tour.stack.processes if not each.alive)
    console.print(f"ended by itself: {gone}", style="red")


def _terminated(_number: int, _frame: FrameType | None) -> None:
    sys.exit(_TERMINATED)  # unwinds: the stack is taken down on the way


if __name__ == "__main__":
    sys.exit(main())
