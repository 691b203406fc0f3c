"""What the event loop and the store's thread hand to each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from store.limits.window import Charge, ChargeResult, LocalCharge


class Ticket(Protocol):
    """A request that waits for the result of its charge."""

    @property
    def charge(self) -> Charge:
        """What to charge."""

    @property
    def wanted(self) -> bool:
        """Whether the peer still waits for the result."""

    def settle(self, result: ChargeResult) -> None:
        """Receive the result."""

    def fail(self) -> None:
        """Learn that there will be none."""


@dataclass(slots=True, eq=False)
class Job:
    """One transaction: *tickets* to charge, or *local_charges* to add to the store."""

    tickets: Sequence[Ticket] = ()
    local_charges: Sequence[LocalCharge] = ()
    results: Sequence[ChargeResult | None] = ()  # `None` after a bug
    error: str = ""  # why the store could not
    # Charges of *tickets* that were accepted locally, while this job hung.
    meanwhile: Sequence[LocalCharge] = ()

    def unrecorded(self) -> list[LocalCharge]:
        """Return what was accepted locally *meanwhile* and then refused by the store."""
        refused = {
            ticket.charge
            for ticket, result in zip(self.tickets, self.results, strict=True)
            if result is None or not result.accepted
        }
        return [local for local in self.meanwhile if local.charge in refused]
