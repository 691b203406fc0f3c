"""What the policyd tests share: facts of a small campus, and requests as Postfix writes them."""

from collections.abc import Callable
from datetime import UTC

import pytest

from config.settings import Settings
from policyd.facts import Facts
from store.engine import Store
from store.limits import whitelist
from store.memory.directory import Directory
from store.people import accounts, suspension
from tests.conftest import CHANGE, settings_for

NOW = 1_800_000_000  # 15 January 2027, 08:00 UTC
CAMPUS = "192.0.2.7"

MakeFacts = Callable[..., Facts]


@pytest.fixture
def make_facts(store: Store, url: str) -> MakeFacts:
    """Return a function that makes facts with the given tables of gatepost.toml.

    alice is staff with the alias a.lovelace, bob a student, carol an alumna who may
    not send until 09:00.
    """

    def make(**tables: object) -> Facts:
        site = {
            "domains": ["mail.example.edu"],
            "campus_networks": ["192.0.2.0/24", "2001:db8::/32"],
        }
        settings = settings_for(url, **{"site": site, **tables})
        directory = Directory(store, settings)
        directory.refresh()
        return Facts(settings, directory, UTC)

    _people(store, settings_for(url))
    return make


def _people(store: Store, settings: Settings) -> None:
    add = accounts.add
    staff = accounts.NewAccount("alice", "staff", aliases=("a.lovelace",))
    add(store, settings, staff, change=CHANGE, now=NOW)
    add(store, settings, accounts.NewAccount("bob", "student"), change=CHANGE, now=NOW)
    add(store, settings, accounts.NewAccount("carol", "alumni"), change=CHANGE, now=NOW)
    suspension.suspend(
        store, settings, "carol", scope="sending", seconds=3600, change=CHANGE, now=NOW
    )
    whitelist.add(store, "192.0.2.99", seconds=600, change=CHANGE, now=NOW)


def wire(**attributes: object) -> bytes:
    """Return a request as Postfix 3.7 sends it, with its empty line."""
    values: dict[str, object] = {
        "request": "smtpd_access_policy",
        "protocol_state": "DATA",
        "protocol_name": "ESMTP",
        "client_address": CAMPUS,
        "client_name": "lab7.example.edu",
        "client_port": 51234,
        "reverse_client_name": "lab7.example.edu",
        "server_address": "192.0.2.1",
        "server_port": 587,
        "helo_name": "lab7.example.edu",
        "sender": "alice@mail.example.edu",
        "recipient": "",
        "recipient_count": 1,
        "queue_id": "4ABCDEF123",
        "instance": "1a2b.65f0c0de.7a120.0",
        "size": 1234,
        "etrn_domain": "",
        "stress": "",
        "sasl_method": "",
        "sasl_username": "",
        "sasl_sender": "",
        "ccert_subject": "",
        "ccert_issuer": "",
        "ccert_fingerprint": "",
        "ccert_pubkey_fingerprint": "",
        "encryption_protocol": "TLSv1.3",
        "encryption_cipher": "TLS_AES_256_GCM_SHA384",
        "encryption_keysize": 256,
        "policy_context": "",
    }
    values.update(attributes)
    return "".join(f"{name}={value}\n" for name, value in values.items()).encode() + b"\n"
