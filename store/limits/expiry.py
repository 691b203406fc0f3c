"""Delete everything that has expired, for sites where policyd was down.

policyd itself deletes a few rows at a time in the background (`policyd.background`).
"""

import time
from contextlib import closing

from store.bulk import PAUSE_SECONDS
from store.engine import Store
from store.limits.counters import Deleted
from store.limits.open import open_counters


def delete_all_expired(store: Store) -> Deleted:
    """Delete it in small transactions; return how much. Raises `StoreUnavailable`."""
    steps = []
    with closing(open_counters(store)) as counters:
        while sum(step := counters.delete_expired()):
            steps.append(step)
            time.sleep(PAUSE_SECONDS)
    return Deleted(*map(sum, zip(*steps, strict=True))) if steps else Deleted()
