"""The connection to the database: one `Store` a process, opened once, passed down.

SQLite runs in WAL mode with ``synchronous=FULL``: an answered request survives a
power cut. Waiting for a lock, a connection or an answer is bounded. Every failure
of the database is raised as `StoreUnavailable`; SQL errors are caught nowhere else.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from store.errors import Refused, StoreUnavailable

if TYPE_CHECKING:  # milter and policyd use only `connection`; the ORM would cost each 8 MiB
    from sqlalchemy.orm import Session

# Below policyd's deadline of 5 s and Postfix's of 10 s, after which the client has gone.
LOCK_WAIT_MS = 4000
CONNECT_SECONDS = 3
STATEMENT_MS = 4000
POOL_SIZE = 5
FILE_MODE = 0o660
POOL_WAIT_SECONDS = 3
# The kernel closes the connection of a silent server (cut off, failed over): by the timeout of
# unacknowledged data, or by keepalives if none is under way.
SILENT_MS = STATEMENT_MS + 1000
KEEPALIVE = {"keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
# Not unix_timestamp(sysdate()): it is an hour off while summer time ends.
MARIADB_NOW = "SELECT timestampdiff(MICROSECOND, '1970-01-01', utc_timestamp(6)) / 1e6"
_DRIVERS = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}
# Parameters of a URL, of libpq or PyMySQL, that hold a password.
_SECRET = frozenset({"password", "passwd", "sslpassword", "ssl_key_password"})


class Store:
    """The shared store at one URL."""

    def __init__(self, url: str) -> None:
        """Prepare *url*; connects on first use."""
        target = make_url(url)
        # As the operator wrote it, but without passwords.
        self.shown_url = _without_secrets(target)
        target = target.set(drivername=_DRIVERS.get(target.drivername, target.drivername))
        self.dialect = target.get_backend_name()
        self.file: Path | None = None
        if self.dialect == "sqlite" and target.database:
            self.file = Path(target.database)
            # Never created on connect: the file would belong to whichever user came first.
            existing = {"mode": "rw", "uri": "true"}
            target = target.set(database=f"file:{quote(target.database)}", query=existing)
        self.engine = _engine(target.render_as_string(hide_password=False), self.dialect)

    def create(self) -> None:
        """Create a missing SQLite file, for its folder's group only.

        Raises `StoreUnavailable`.
        """
        if self.file is None:
            return
        try:
            fd = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0)
        except FileExistsError:
            return
        except OSError as error:
            raise StoreUnavailable(f"{self.file}: cannot be made: {error.strerror}") from None
        try:
            with suppress(PermissionError):  # not a member of that group
                os.fchown(fd, -1, self.file.parent.stat().st_gid)
            os.fchmod(fd, FILE_MODE)  # whatever the umask: the services must write it
        finally:
            os.close(fd)

    @contextmanager
    def reading(self) -> "Iterator[Session]":
        """A session for reading; raises `StoreUnavailable`."""
        from sqlalchemy.orm import Session

        with translated(), Session(self.engine) as session:
            yield session

    @contextmanager
    def changing(self) -> "Iterator[Session]":
        """A transaction: committed at the end, rolled back on any exception.

        On SQLite it takes the write lock at once, so that what it reads stays
        true until it writes.
        """
        from sqlalchemy.orm import Session

        with translated(), Session(self.engine) as session:
            if self.dialect == "sqlite":
                session.connection().exec_driver_sql("BEGIN IMMEDIATE")
            yield session
            session.commit()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A bare connection, without the ORM (for counters and memory copies); a writer commits."""
        with translated(), self.engine.connect() as connection:
            yield connection

    def now(self, session: "Session", given: int | None = None) -> int:
        """Return *given*, else Unix time; the database's own where several machines share it."""
        if given is not None:
            return given
        if self.dialect == "sqlite":
            return int(time.time())
        if self.dialect == "postgresql":
            found = session.scalar(text("SELECT extract(epoch FROM clock_timestamp())"))
        else:
            found = session.scalar(text(MARIADB_NOW))
        return int(found or 0)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


@contextmanager
def translated() -> Iterator[None]:
    """Turn every failure of the database into `StoreUnavailable`."""
    try:
        yield
    except IntegrityError as error:
        raise Refused("this is in the store already (somebody else was faster)") from error
    except DataError as error:
        raise Refused(f"a value does not fit its column: {_first_line(error.orig)}") from error
    except (DBAPIError, PoolTimeout) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise StoreUnavailable(f"store: {type(cause).__name__}: {_first_line(cause)}") from error
    except SQLAlchemyError as error:
        raise StoreUnavailable(f"store: {type(error).__name__}") from error
    except sqlite3.Error as error:  # the raw hot path
        raise StoreUnavailable(f"store: {type(error).__name__}: {_first_line(error)}") from error


def _without_secrets(url: URL) -> str:
    hidden = {name: "***" for name in url.query if name in _SECRET}
    shown = url.update_query_dict(hidden).render_as_string(hide_password=True)
    return shown.replace("%2A%2A%2A", "***")


def _first_line(error: object) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def _engine(url: str, dialect: str) -> Engine:
    if dialect == "sqlite":
        engine = create_engine(
            url,
            hide_parameters=True,  # an error's text would show the hash that was written
            connect_args={"timeout": LOCK_WAIT_MS / 1000, "check_same_thread": False},
            pool_size=POOL_SIZE,
            pool_timeout=POOL_WAIT_SECONDS,
        )
        event.listen(engine, "connect", _prepare_sqlite)
        return engine
    if dialect == "postgresql":
        arguments: dict[str, Any] = {
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": SILENT_MS,
            **KEEPALIVE,
            "options": f"-c statement_timeout={STATEMENT_MS} -c lock_timeout={LOCK_WAIT_MS}",
        }
    else:
        arguments = {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": STATEMENT_MS / 1000,
            "write_timeout": STATEMENT_MS / 1000,
            "charset": "utf8mb4",
            "init_command": f"SET SESSION innodb_lock_wait_timeout={LOCK_WAIT_MS // 1000}",
        }
    return create_engine(
        url,
        hide_parameters=True,
        connect_args=arguments,
        # PostgreSQL's default, and needed on MariaDB: under its own, a writer that waited
        # for the revision would find it changed since its snapshot, and fail.
        isolation_level="READ COMMITTED",
        pool_size=POOL_SIZE,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_pre_ping=True,
    )


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # We begin transactions ourselves (BEGIN IMMEDIATE), not the driver.
    connection.isolation_level = None
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
    except sqlite3.Error:
        connection.close()  # the pool does not know it yet
        raise
