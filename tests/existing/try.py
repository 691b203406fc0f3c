"""Boot and drop into: for development"""
import sys, time, tempfile
from pathlib import Path
import tests.existing.machine as mm
from tests.existing.machine import running
mm.LOCK = Path(f"/run/lock/try-{sys.argv[1]}")
with tempfile.TemporaryDirectory() as d:
    with running(sys.argv[1], Path(d)) as m:
        print(m.leader, flush=True)
        Path(f"/tmp/w/leader-{sys.argv[1]}").write_text(str(m.leader))
        time.sleep(float(sys.argv[2]))
