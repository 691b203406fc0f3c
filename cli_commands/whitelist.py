"""``gatepost whitelist``: client addresses exempt from the sending limit."""

import time

import click

from cli_commands.app import App
from cli_commands.command import command
from cli_commands.output import Output, when
from cli_commands.parameters import Span, reason_option
from store.limits import whitelist as exemptions
from store.limits.whitelist import Exemption


@click.group()
def whitelist() -> None:
    """Exempt addresses and networks from the client limit, for a time or permanently."""


@command(whitelist)
@click.argument("network", metavar="ADDRESS|NETWORK")
@click.option(
    "--for",
    "seconds",
    type=Span(),
    metavar="60m",
    help="Duration. Default: whitelist.minutes of the settings.",
)
@click.option("--permanent", is_flag=True, help="Without an end, until revoked.")
@reason_option(required=True)
def add(
    app: App, output: Output, network: str, seconds: int | None, permanent: bool, reason: str
) -> None:
    """Exempt an address or a network, within 2 seconds on every machine.

    Example: gatepost whitelist add 192.0.2.7 --for 60m --reason "newsletter, ticket 4711"
    """
    if permanent and seconds is not None:
        raise click.UsageError("--permanent and --for exclude each other")
    if seconds is None and not permanent:
        seconds = app.settings.whitelist.minutes * 60
    _valid(network)
    entry = exemptions.add(app.store, network, seconds=seconds, change=app.change(reason))
    longer = ", as it was already" if seconds and _lasts(entry, longer_than=seconds) else ""
    output.message(f"{entry.network} is not limited {_until(entry)}{longer} (entry {entry.id})")
    output.document(entry)


@command(whitelist, "list")
@click.option("--all", "everything", is_flag=True, help="Include expired and revoked exemptions.")
def list_(app: App, output: Output, everything: bool) -> None:
    """List the exemptions in force.

    Example: gatepost whitelist list --json
    """
    found = exemptions.listed(app.store, everything=everything)
    rows = ((str(e.id), e.network, _state(e), e.who, e.reason) for e in found)
    output.listing(
        found, ("entry", "network", "until", "who", "reason"), rows, none="no exemptions"
    )


@command(whitelist)
@click.argument("target", metavar="ENTRY|ADDRESS|NETWORK")
@reason_option()
def revoke(app: App, output: Output, target: str, reason: str) -> None:
    """End an exemption at once; give its entry number or its network.

    Example: gatepost whitelist revoke 192.0.2.7
    """
    if not exemptions.is_number(target):
        _valid(target)
    ended = exemptions.revoke(app.store, target, change=app.change(reason))
    left = exemptions.listed(app.store)
    for entry in ended:
        still = [str(each.id) for each in left if each.covers(entry.network)]
        now = f"is still exempt by entry {', '.join(still)}" if still else "is limited again"
        output.message(f"{entry.network} {now} (ended: entry {entry.id})")
    output.document(ended)


@command(whitelist)
def expire(app: App, output: Output) -> None:
    """Mark expired exemptions as ended; `gatepost maintain` does so, too.

    They stop working on time even if this never runs.
    Example: gatepost whitelist expire
    """
    count = exemptions.expire(app.store, change=app.change("expired"))
    output.message(f"{count} expired")
    output.document({"expired": count})


def _valid(network: str) -> None:
    try:
        exemptions.parse_network(network)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _lasts(entry: Exemption, *, longer_than: int) -> bool:
    """Return whether *entry*, made earlier, lasts over a minute longer than the one asked for."""
    return entry.expires_at is not None and entry.expires_at - time.time() > longer_than + 60


def _until(entry: Exemption) -> str:
    return "until it is revoked" if entry.expires_at is None else f"until {when(entry.expires_at)}"


def _state(entry: Exemption) -> str:
    if entry.ended_at is not None:
        return f"ended {when(entry.ended_at)}"
    return when(entry.expires_at, never="permanent")
