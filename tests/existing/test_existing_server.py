"""gatepost on a mail server that already runs: installed by the page, used, taken out again."""

import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.existing import things
from tests.existing.machine import Machine, running
from tests.existing.terminal import EDIT, SETTINGS, SITE, follow, inside, observe
from tests.existing.trial import PROMISES

SECONDS = 1800
# What is compared before and after, each by its own program.
CONFIGURATION = ("postconf -n", "postconf -M", "postconf -P", "doveconf -n 2>/dev/null")
# Files that programs write by themselves, or that the page's apt-get installs.
LIVING = (
    "/proc /sys /run /tmp /root /var/log /var/cache /var/spool/postfix/[a-z]* /var/lib/apt "
    "/var/lib/dpkg /var/lib/systemd /var/lib/dovecot /var/lib/postfix /var/lib/postgrey "
    "/var/lib/spamassassin /var/vmail /usr/lib /usr/bin /usr/share /usr/include /usr/libexec "
    "/usr/src /etc/alternatives /etc/gprofng.rc /etc/ld.so.cache /etc/.pwd.lock /etc/*- "
    "/etc/dovecot/sieve"
)
# A minute of mail.
LOAD = """\
for i in $(seq 60); do
  for j in 1 2 3; do
    printf "Subject: load\\n\\nx\\n" | sendmail -f webapp anna@example.edu
  done
  sleep 1
done
touch /root/loaded"""
UNITS = ("gatepost-policyd", "gatepost-milter", "gatepost-authd")
# is-active alone succeeds if one of them is active.
STATES = f"systemctl is-active {' '.join(UNITS)} gatepost-policyd.socket | sort -u"
ALL_ACTIVE = f'[ "$({STATES})" = active ]'

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS)]


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def machine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """Return a booted Debian 12 or 13 with the site's mail server on it."""
    with running(request.param, tmp_path_factory.mktemp(request.param)) as booted:
        booted.run(SITE)
        yield booted


def after_install(machine: Machine, line: str) -> None:
    """Do what an operator does after this command of the page, and try what may go wrong."""
    if "setup system" in line:
        machine.run(EDIT)
    if line == "gatepost setup dovecot":
        a_dovecot_that_cannot_ask_gatepost_gets_its_files_back(machine)


def a_dovecot_that_cannot_ask_gatepost_gets_its_files_back(machine: Machine) -> None:
    """Debian 13 without dovecot-auth-lua: doveconf finds no fault, and no one can sign in."""
    if not machine.run("dovecot --version").startswith("2.4"):
        return
    before = machine.run("doveconf -n")
    plugin = "/usr/lib/dovecot/modules/auth/libauthdb_lua.so"
    machine.run(f"mv {plugin} /root/plugin")
    done = machine.try_run("gatepost setup dovecot --apply")
    assert done.code == 1, done.text
    assert "Dovecot cannot look users up" in done.text
    assert machine.run("doveconf -n") == before
    machine.run("doveadm auth test anna 'old site password'")
    machine.run(f"mv /root/plugin {plugin}")


def configuration(machine: Machine) -> dict[str, str]:
    """Return the settings of Postfix and Dovecot, and the names of all files."""
    prune = " -o ".join(f"-path '{each}'" for each in LIVING.split())
    files = f"find / -xdev \\( {prune} \\) -prune -o \\( -type f -o -type l \\) -print | sort"
    return {command: machine.run(command) for command in (*CONFIGURATION, files)}


def memory_stays_within_its_limit(machine: Machine) -> None:
    """No service comes near its MemoryMax; where systemd can enforce it, it does."""
    for unit in UNITS:
        pid = machine.run(f"systemctl show -P MainPID {unit}").strip()
        limit = int(machine.run(f"systemctl show -P MemoryMax {unit}"))
        peak = int(machine.run(f"awk '/VmHWM/ {{print $2}}' /proc/{pid}/status")) * 1024
        assert peak < 0.7 * limit, unit
        group = f"/sys/fs/cgroup/memory/system.slice/{unit}.service"
        if machine.release == "bookworm":
            assert int(machine.run(f"cat {group}/memory.limit_in_bytes")) == limit
            assert int(machine.run(f"cat {group}/memory.max_usage_in_bytes")) < 0.7 * limit
        print(f"{unit}: {peak >> 20} of {limit >> 20} MiB")


def test_gatepost_is_added_used_and_taken_out_and_the_server_never_notices(
    machine: Machine,
) -> None:
    before, configured = observe(machine, "before"), configuration(machine)
    assert things.differing(before, things.EXPECTED) == {}

    seconds = follow(machine, "Install", after=partial(after_install, machine))
    seconds += follow(machine, "See that it works")
    print(f"machine time of the page: {seconds:.0f} s")
    assert (
        machine.run("doveadm user anna 2>&1 >/dev/null; doveadm quota get -u anna 2>&1 >/dev/null")
        == ""
    )

    seen = observe(machine, "with")
    assert (
        things.differing(seen, before, besides=("anna has a quota", "bert has a quota of his own"))
        == {}
    )
    assert seen["anna has a quota"] == str(5 << 20)  # KiB: her role's, not the site's 1 GiB
    assert seen["bert has a quota of his own"] == str(2 << 20)  # imported with his line
    tried = inside(machine, "tests.existing.trial").split()
    assert tried == [promise.__name__ for promise in PROMISES]
    memory_stays_within_its_limit(machine)
    a_service_is_back_whatever_ended_it(machine)
    follow(machine, "Upgrade")
    assert things.differing(observe(machine, "upgraded"), seen) == {}

    follow(machine, "Take gatepost out again")
    assert things.differing(observe(machine, "after"), before) == {}
    after = configuration(machine)
    for command, text in configured.items():
        kept = [line for line in after[command].splitlines() if "/var/lib/gatepost/" not in line]
        assert kept == text.splitlines(), command
    assert machine.run("ls /var/lib/gatepost").split() == [
        "gatepost.db",
        "gatepost.toml",
        "secret.key",
    ]
    assert machine.try_run("getent passwd gatepost; getent group gatepost").text == ""
    assert machine.run("systemctl --failed --no-legend") == ""


def a_service_is_back_whatever_ended_it(machine: Machine) -> None:
    """Under load: settings unreadable for 25 s, then each service killed."""
    machine.run(f"nohup sh -c '{LOAD}' >/dev/null 2>&1 &")
    machine.run(f"cp -p {SETTINGS} /root/good.toml; echo 'nonsense' >>{SETTINGS}")
    since = machine.run("date '+%F %T'").strip()
    machine.try_run(f"systemctl restart {' '.join(UNITS)}")
    time.sleep(25)  # the promise is about this time
    told = f"journalctl --no-pager -o cat --since '{since}' -u 'gatepost-*'"
    errors = machine.run(f"{told} | grep -c {SETTINGS} || true")
    assert 0 < int(errors) <= 2 * len(UNITS), errors  # once a minute, not once a try
    machine.run(f"cp -p /root/good.toml {SETTINGS}")
    machine.wait_for(ALL_ACTIVE)
    memory_stays_within_its_limit(machine)
    for unit in UNITS:
        machine.run(f"systemctl kill -s KILL {unit}")
    machine.wait_for(ALL_ACTIVE)
    machine.wait_for("test -e /root/loaded", seconds=90)
    # Mail for accounts that Dovecot could not look up meanwhile is in the queue, and is delivered.
    machine.wait_for(
        "postqueue -f; sleep 2; postqueue -p | grep -x 'Mail queue is empty'", seconds=90
    )
