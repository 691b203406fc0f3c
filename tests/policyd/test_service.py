"""What a service keeps, and what it drops, when settings change and bugs happen."""

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from config.settings import LimitSettings
from policyd.service import WATCH_SECONDS, Service
from policyd.tally import Tally
from store.engine import Store
from store.limits.open import open_counters
from store.limits.window import Charge, ChargeResult, Limit
from tests.policyd.conftest import NOW, MakeFacts

RATE = Limit("client 192.0.2.7", 3600, 200)
REFUSED = ChargeResult(accepted=False, limit=RATE, used=200, again=NOW + 60)


@contextmanager
def serving(make_facts: MakeFacts, store: Store, **tables: object) -> Iterator[Service]:
    """Make a service whose loop does not run."""
    loop = asyncio.new_event_loop()
    try:
        yield Service(make_facts(**tables), open_counters(store), loop=loop)
    finally:
        loop.close()


def test_old_facts_are_freed_when_new_ones_come(make_facts: MakeFacts, store: Store) -> None:
    with serving(make_facts, store) as service:
        service._refusal_text(Charge(1, 1, (RATE,)), REFUSED, NOW)
        old = weakref.ref(service.facts.directory)
        service.use(make_facts())
        gc.collect()
        assert old() is None


def test_a_refusal_uses_the_current_facts(make_facts: MakeFacts, store: Store) -> None:
    page = "https://new.example.edu"
    with serving(make_facts, store) as service:
        assert page not in service._refusal_text(Charge(1, 1, (RATE,)), REFUSED, NOW)
        service.use(make_facts(portal={"base_url": page}))
        assert page in service._refusal_text(Charge(1, 1, (RATE,)), REFUSED, NOW)


class Broken(Tally):
    """A tally with a bug."""

    def misuse(self, limits: LimitSettings) -> str | None:
        raise ValueError(limits)


def test_a_bug_in_one_round_does_not_end_the_watch(
    make_facts: MakeFacts, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(make_facts, store) as service:
        service.tally = Broken()
        service.loop.call_soon(service._watch)
        service.loop.call_later(2.5 * WATCH_SECONDS, service.loop.stop)
        service.loop.run_forever()
    assert len([each for each in caplog.records if each.exc_info]) == 3
