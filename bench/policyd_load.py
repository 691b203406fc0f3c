"""A load of policy questions, in its own process: one outstanding per connection, as Postfix.

``python -m bench.policyd_load WHERE CONNECTIONS SECONDS CLIENTS USERS STATE`` prints one line
of JSON: decisions, seconds, p50 and p99 in milliseconds, how many were refused.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from dataclasses import dataclass, field
from typing import cast

import uvloop

# What Postfix 3.7 sends, about 750 bytes, in its order.
_BEFORE = b"request=smtpd_access_policy\nprotocol_state=%b\nprotocol_name=ESMTP\nclient_address="
_MIDDLE = (
    b"\nclient_name=lab7.example.edu\nclient_port=51234\nreverse_client_name=lab7.example.edu\n"
    b"server_address=192.0.2.1\nserver_port=587\nhelo_name=lab7.example.edu\n"
    b"sender=alice@mail.example.edu\nrecipient=bob@example.org\nrecipient_count=1\n"
    b"queue_id=4ABCDEF123\ninstance="
)
_AFTER = (
    b"\nsize=2345\netrn_domain=\nstress=\nsasl_method=PLAIN\nsasl_username=%b\nsasl_sender=\n"
    b"ccert_subject=\nccert_issuer=\nccert_fingerprint=\nccert_pubkey_fingerprint=\n"
    b"encryption_protocol=TLSv1.3\nencryption_cipher=TLS_AES_256_GCM_SHA384\n"
    b"encryption_keysize=256\npolicy_context=submission\n\n"
)
_END = b"\n\n"


@dataclass(slots=True)
class Score:
    """What was measured so far."""

    until: float
    latencies: list[float] = field(default_factory=list)
    refused: int = 0


class Asker(asyncio.Protocol):
    """One smtpd: asks, waits for the answer, asks again."""

    def __init__(
        self, score: Score, clients: list[bytes], tails: list[bytes], *, state: str
    ) -> None:
        self._score = score
        self._before = _BEFORE % state.encode()
        self._clients = clients
        self._tails = tails
        self._names = (b"%x.%x" % (id(self), n) for n in itertools.count())
        self._random = random.Random(id(self))  # noqa: S311 - a load, not a secret
        self._asked = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first question."""
        transport = cast("asyncio.Transport", transport)
        self._write = transport.write
        self._close = transport.close
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Note the answer and ask again."""
        now = time.perf_counter()
        if not data.endswith(_END):
            raise AssertionError(f"an answer in pieces: {data!r}")
        self._score.latencies.append(now - self._asked)
        if not data.startswith(b"action=DUNNO"):
            self._score.refused += 1
        if now < self._score.until:
            self._ask()
        else:
            self.done.set_result(None)
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the load if the server closed."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed without an answer"))

    def _ask(self) -> None:
        pick = self._random.random()
        client = self._clients[int(pick * len(self._clients))]
        tail = self._tails[int(pick * len(self._tails))]
        self._asked = time.perf_counter()
        self._write(b"".join((self._before, client, _MIDDLE, next(self._names), tail)))


async def load(
    where: str, connections: int, seconds: float, clients: int, users: int, *, state: str
) -> None:
    """Ask for *seconds* and print the score."""
    loop = asyncio.get_running_loop()
    score = Score(time.perf_counter() + seconds)
    addresses = [b"10.%d.%d.%d" % (n >> 16, n >> 8 & 255, n & 255) for n in range(clients)]
    tails = [_AFTER % (b"u%d" % n if users else b"") for n in range(max(users, 1))]
    start = time.perf_counter()
    askers = []
    for _ in range(connections):
        made = Asker(score, addresses, tails, state=state)
        askers.append(made)
        if where.isdigit():
            await loop.create_connection(lambda made=made: made, "127.0.0.1", int(where))  # type: ignore[misc]
        else:
            await loop.create_unix_connection(lambda made=made: made, where)  # type: ignore[misc]
    await asyncio.gather(*(asker.done for asker in askers))
    taken = time.perf_counter() - start
    ordered = sorted(score.latencies)
    print(
        json.dumps(
            {
                "decisions": len(ordered),
                "seconds": taken,
                "p50": ordered[len(ordered) // 2] * 1000,
                "p99": ordered[len(ordered) * 99 // 100] * 1000,
                "refused": score.refused,
            }
        )
    )


if __name__ == "__main__":
    _, _where, _connections, _seconds, _clients, _users, _state = sys.argv
    uvloop.run(
        load(_where, int(_connections), float(_seconds), int(_clients), int(_users), state=_state)
    )
