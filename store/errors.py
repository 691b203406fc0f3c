"""What the store can say besides an answer."""


class StoreUnavailable(Exception):  # noqa: N818 - a state of the world, not a mistake
    """The database cannot answer now; later it may. The one error a service must survive."""


class Refused(Exception):  # noqa: N818 - an answer, not a mistake
    """The change asked for is not possible; the text says why and what to do instead."""


class NotFound(Refused):
    """Nothing of that name is in the store."""
