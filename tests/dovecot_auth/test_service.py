"""The answers of authd, over its real sockets."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import bcrypt
import pytest

from store.logins import budgets, guesses, schemes
from store.logins.budgets import ACCOUNT_BUDGET
from store.logins.credentials import credentials
from store.people import accounts
from tests.dovecot_auth.site import ALICE, CHANGE, Site, connected, until

pytestmark = pytest.mark.integration  # a process for each test: seconds


def test_the_right_password_returns_the_fields(site: Site) -> None:
    status, fields = site.ask("/verify", **ALICE)
    assert status == 200
    assert fields == {
        "user": "alice",
        "home": f"{site.root}/mail/alice",
        "uid": "5000",
        "gid": "5000",
        "quota": str(500 * 1024 * 1024),
    }


@pytest.mark.parametrize(
    ("user", "password", "service"),
    [
        ("alice", "wrong", "imap"),
        ("nobody", "wrong", "imap"),
        ("erin", "wrong", "imap"),
        ("carol", "carol's password", "imap"),
        ("dave", "dave's password", "submission"),
    ],
)
def test_every_refusal_is_the_same_answer(
    site: Site, user: str, password: str, service: str
) -> None:
    asked = {"user": user, "password": password, "service": service}
    assert site.ask("/verify", **asked) == (401, {"reason": "refused"})


def test_a_lookup_finds_local_accounts_only(site: Site) -> None:
    status, fields = site.ask("/user", user="alice@mail.example.edu")
    assert (status, fields["user"]) == (200, "alice")
    assert site.ask("/user", user="nobody")[0] == 404


@pytest.mark.parametrize(
    ("path", "values"),
    [("/verify", {"user": "alice"}), ("/user", {"service": "x"}), ("/other", {"user": "alice"})],
)
def test_a_malformed_request_is_answered_400(site: Site, path: str, values: dict[str, str]) -> None:
    assert site.ask(path, **values)[0] == 400


def test_requests_on_one_connection_are_answered_in_order(site: Site) -> None:
    with connected(site.socket) as channel:
        one = b"POST /user HTTP/1.1\r\nContent-Length: %d\r\n\r\nuser=%s"
        wire = b"".join(one % (5 + len(name), name) for name in (b"alice", b"nobody", b"bob"))
        channel.sendall(wire)
        raw = b""
        while raw.count(b"HTTP/1.1") < 3 or not raw.endswith(b"\n\n"):
            raw += channel.recv(65536)
    statuses = [line.split()[1] for line in raw.splitlines() if line.startswith(b"HTTP/1.1")]
    assert statuses == [b"200", b"404", b"200"]


def test_bytes_that_are_not_http_are_answered_400_and_the_end(site: Site) -> None:
    with connected(site.socket) as channel:
        channel.sendall(b"EHLO there\r\n\r\n")
        raw = b""
        while chunk := channel.recv(65536):
            raw += chunk
    assert raw.startswith(b"HTTP/1.1 400")


def test_the_unix_socket_is_open_to_its_group(site: Site) -> None:
    assert site.socket.stat().st_mode & 0o777 == 0o660


def test_no_password_reaches_the_log(site: Site) -> None:
    canary = "canary-5d1f"
    for user in ("alice", "nobody", "x\r\nINFO authd: event=login-allowed user=root"):
        site.ask("/verify", user=user, password=canary)
    log = (site.root / "authd.log").read_text()
    assert canary not in log
    assert "\nINFO authd: event=login-allowed user=root" not in log


def test_an_old_hash_is_upgraded_by_the_first_login(empty_site: Site) -> None:
    with empty_site.running():
        assert empty_site.ask("/verify", **ALICE)[0] == 200
        assert until(lambda: empty_site.stored("alice").startswith("{ARGON2ID}"))
        assert empty_site.ask("/verify", **ALICE)[0] == 200


def test_a_refusal_takes_equally_long_for_any_reason(empty_site: Site) -> None:
    def seconds(user: str) -> float:
        began = time.perf_counter()
        assert empty_site.ask("/verify", user=user, password="wrong")[0] == 401
        return time.perf_counter() - began

    with empty_site.running():
        for user in ("alice", "nobody", "carol", "erin"):
            assert 0.29 < min(seconds(user) for _ in range(3)) < 0.45


@pytest.mark.parametrize("wrong", ["wrong", "wro\u0301ng"])  # decomposed: two forms of a password
def test_a_refusal_takes_as_long_as_the_slowest_stored_hash(empty_site: Site, wrong: str) -> None:
    slow = bcrypt.hashpw(b"x", bcrypt.gensalt(schemes.MAX_BCRYPT_COST)).decode()
    accounts.set_password(
        empty_site.store, empty_site.settings, "bob", "{BLF-CRYPT}" + slow, how="reset",
        change=CHANGE,
    )  # fmt: skip
    numbers = itertools.count()

    def seconds(user: str) -> float:
        password, began = f"{wrong} {next(numbers)}", time.perf_counter()
        assert empty_site.ask("/verify", user=user, password=password)[0] == 401
        return time.perf_counter() - began

    with empty_site.running():
        seconds("bob")  # authd learns of it
        users = ("bob", "nobody", "erin")
        rounds = [[seconds(user) for user in users] for _ in range(3)]
    least = [min(tries) for tries in zip(*rounds, strict=True)]
    # The hash alone takes half a second: without the delay they would be that far apart.
    assert max(least) - min(least) < 0.3


def test_a_right_password_is_not_delayed(empty_site: Site) -> None:
    with empty_site.running():
        empty_site.ask("/verify", **ALICE)
        took = []
        for _ in range(3):
            began = time.perf_counter()
            assert empty_site.ask("/verify", **ALICE)[0] == 200
            took.append(time.perf_counter() - began)
        assert min(took) < 0.2


def test_guessing_blocks_the_guessed_account_only(empty_site: Site) -> None:
    def tried(user: str, password: str, remote: str) -> int:
        return empty_site.ask("/verify", user=user, password=password, remote=remote)[0]

    with empty_site.running(), ThreadPoolExecutor(20) as pool:
        assert tried("alice", ALICE["password"], "192.0.2.7") == 200
        assert until(lambda: is_known(empty_site, "192.0.2.7"))
        statuses = list(
            pool.map(lambda n: tried("alice", f"guess {n}", f"198.51.100.{n}"), range(100))
        )
        assert statuses.count(401) <= ACCOUNT_BUDGET
        assert set(statuses) == {401, 429}
        assert tried("alice", ALICE["password"], "203.0.113.1") == 429  # a stranger's address
        assert tried("alice", ALICE["password"], "192.0.2.7") == 200  # the owner's
        assert tried("bob", "bob's password", "203.0.113.1") == 200


def test_a_closed_network_answers_all_names_alike_and_equally_late(empty_site: Site) -> None:
    remote = ALICE["remote"]
    with empty_site.running():
        assert empty_site.ask("/verify", **ALICE)[0] == 200
        assert until(lambda: is_known(empty_site, remote))
        store = empty_site.store
        with store.connection() as connection:
            at = guesses.budget_state(connection, name="x", account=None, remote=remote, now=0)
        for _ in range(budgets.NETWORK_BUDGET):
            guesses.charge(store, at.budgets[1:], now=int(time.time()))
        for user in ("alice", "bob", "nobody"):
            began = time.perf_counter()
            answer = empty_site.ask("/verify", user=user, password="wrong", remote=remote)
            assert answer == (429, {"reason": "too many wrong passwords"})
            assert time.perf_counter() - began > 0.29
        assert empty_site.ask("/verify", **ALICE)[0] == 200


def is_known(site: Site, remote: str) -> bool:
    found = credentials(site.store, site.settings, "alice")
    with site.store.connection() as connection:
        account = found.account if found else None
        at = guesses.budget_state(connection, name="alice", account=account, remote=remote, now=1)
    return at.seen_lately


def test_an_unavailable_store_is_503_until_it_is_back(empty_site: Site) -> None:
    database, hidden = empty_site.root / "gatepost.db", empty_site.root / "gone"
    with empty_site.running():
        database.rename(hidden)
        database.mkdir()  # opening a folder fails for root as well, who ignores permissions
        assert empty_site.ask("/verify", **ALICE)[0] == 503
        assert empty_site.ask("/user", user="alice")[0] == 503
        database.rmdir()
        hidden.rename(database)
        assert until(lambda: empty_site.ask("/verify", **ALICE)[0] == 200)


def test_an_unusable_hash_is_503(empty_site: Site) -> None:
    accounts.set_password(
        empty_site.store, empty_site.settings, "bob", "{OTP}x", how="reset", change=CHANGE
    )
    with empty_site.running():
        assert empty_site.ask("/verify", user="bob", password="x")[0] == 503
    assert "ERROR authd: event=hash-unusable" in (empty_site.root / "authd.log").read_text()
