"""A SQLite store that can be read but not written, as on a full disk."""

from sqlalchemy import event

from store.engine import Store


def read_only(url: str) -> Store:
    """Open *url* so that every write fails and every read goes on."""
    store = Store(url)
    event.listen(store.engine, "connect", lambda made, _: made.execute("PRAGMA query_only=ON"))
    return store
