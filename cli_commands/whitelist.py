"""``gatepost whitelist``: client addresses whose sending limit is lifted."""

import time

import click

from cli_commands.app import App, command
from cli_commands.output import Output, when
from cli_commands.parameters import Span
from store.limits import whitelist as entries
from store.limits.whitelist import Exemption


@click.group()
def whitelist() -> None:
    """Lift the client limit for an address or a network, for a time or for good."""


@command(whitelist)
@click.argument("network", metavar="ADDRESS|NETWORK")
@click.option(
    "--for", "seconds", type=Span(), metavar="60m", help="How long. Default: whitelist.minutes."
)
@click.option("--permanent", is_flag=True, help="Until it is revoked.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; kept with the entry.")
def add(
    app: App, answer: Output, network: str, seconds: int | None, permanent: bool, reason: str
) -> None:
    """Exempt an address or a network; it takes effect within 2 seconds everywhere.

    Example: gatepost whitelist add 192.0.2.7 --for 60m --reason "newsletter, ticket 4711"
    """
    if permanent and seconds is not None:
        raise click.UsageError("--permanent and --for exclude each other")
    if seconds is None and not permanent:
        seconds = app.settings.whitelist.minutes * 60
    _valid(network)
    entry = entries.add(app.store, network, seconds=seconds, change=app.change(reason))
    longer = ", as it was already" if seconds and _lasts(entry, longer_than=seconds) else ""
    answer.say(f"{entry.network} is not limited {_until(entry)}{longer} (entry {entry.id})")
    answer.document(entry)


@command(whitelist, "list")
@click.option("--all", "everything", is_flag=True, help="Also the expired and revoked ones.")
def list_(app: App, answer: Output, everything: bool) -> None:
    """List the exemptions in force.

    Example: gatepost whitelist list --json
    """
    found = entries.listed(app.store, everything=everything)
    rows = ((str(e.id), e.network, _state(e), e.who, e.reason) for e in found)
    answer.listing(
        found, ("entry", "network", "until", "who", "reason"), rows, none="no exemptions"
    )


@command(whitelist)
@click.argument("target", metavar="ENTRY|ADDRESS|NETWORK")
@click.option("--reason", default="", metavar="TEXT", help="Why; kept in the audit.")
def revoke(app: App, answer: Output, target: str, reason: str) -> None:
    """End an exemption at once, by its number or by its network.

    Example: gatepost whitelist revoke 192.0.2.7
    """
    if not entries.is_number(target):
        _valid(target)
    ended = entries.revoke(app.store, target, change=app.change(reason))
    left = entries.listed(app.store)
    for entry in ended:
        still = [str(each.id) for each in left if each.covers(entry.network)]
        now = f"is still exempt by entry {', '.join(still)}" if still else "is limited again"
        answer.say(f"{entry.network} {now} (ended: entry {entry.id})")
    answer.document(ended)


@command(whitelist)
def expire(app: App, answer: Output) -> None:
    """Mark exemptions whose time is over as ended; part of `gatepost maintain`.

    Housekeeping: they stop working at their minute without it.
    Example: gatepost whitelist expire
    """
    count = entries.expire(app.store, change=app.change("expired"))
    answer.say(f"{count} expired")
    answer.document({"expired": count})


def _valid(network: str) -> None:
    try:
        entries.parse_network(network)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _lasts(entry: Exemption, *, longer_than: int) -> bool:
    """Return whether an entry of before ends later than the one asked for; not to the second."""
    return entry.expires_at is not None and entry.expires_at - time.time() > longer_than + 60


def _until(entry: Exemption) -> str:
    return "until it is revoked" if entry.expires_at is None else f"until {when(entry.expires_at)}"


def _state(entry: Exemption) -> str:
    if entry.ended_at is not None:
        return f"ended {when(entry.ended_at)}"
    return when(entry.expires_at, never="permanent")
