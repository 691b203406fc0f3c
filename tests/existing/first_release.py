"""Release 0.1.0, installed as its own docs/operations.md says; it had no `gatepost setup`."""

import subprocess

from tests.existing import page
from tests.existing.machine import REPOSITORY, Machine
from tests.existing.terminal import EDIT, TRIAL_SECONDS

COMMIT = "d6d211d7b3dfcd740323feb83f5831033af4cd45"
SOURCES = "/usr/src/gatepost-0.1.0"
IMPORT = "gatepost account import /etc/dovecot/users --format dovecot --role staff"
# What the page left to the operator. A permit would end the lists before gatepost's entries.
BEFORE_POSTFIX = """\
sed -i -e '/^    permit$/d' -e 's/:10023,$/:10023/' -e 's/, permit$//' /etc/postfix/main.cf
"""
# The page took smtpd out of its chroot, and replaced the site's services of master.cf.
AFTER_POSTFIX = """\
sed -i 's,unix:/opendkim/,unix:opendkim/,' /etc/postfix/main.cf
postconf -e 'non_smtpd_milters = unix:opendkim/opendkim.sock'
postconf -P submission/inet/smtpd_sender_restrictions=reject_sender_login_mismatch \\
  submission/inet/smtpd_client_connection_count_limit=20 \\
  submission/inet/cleanup_service_name=subclean
postfix check
systemctl reload postfix
"""
# Only gatepost checks passwords. Dovecot 2.4 lets a size inside "quota" override an account's own.
DOVECOT = """\
apt-get install --no-install-recommends dovecot-auth-lua
sed -i 's/^!include auth-passwdfile.conf.ext/#&/' /etc/dovecot/conf.d/10-auth.conf
sed -i '/^  storage_size = 1G/d' /etc/dovecot/local.conf
"""


def install(machine: Machine) -> None:
    """Install 0.1.0 on the site's mail server, with all its accounts."""
    _unpack(machine)
    text = _git("show", f"{COMMIT}:docs/operations.md").decode()
    # One session: later blocks use variables of earlier ones.
    script = "".join(_answered(block) for block in page.blocks(text, "Install"))
    machine.run(script, seconds=TRIAL_SECONDS)


def _answered(block: str) -> str:
    """Return the commands of *block*, with the operator's decisions."""
    if "account add alice" in block:
        return f"{IMPORT}\n"
    if "doveadm auth test" in block:
        return "doveadm auth test anna 'old site password'\n"
    block = block.replace("/usr/src/gatepost", SOURCES).replace("domain=mail.", "domain=")
    if "gatepost.toml /etc/gatepost" in block:
        return f"{block}{EDIT}\n"
    if "/dovecot/conf.d" in block:
        return f"{DOVECOT}{block}"
    if "add-to-lists" in block:
        return f"{BEFORE_POSTFIX}{block}"
    return f"{block}{AFTER_POSTFIX}" if "postconf -MX" in block else block


def _unpack(machine: Machine) -> None:
    folder = machine.root / SOURCES[1:]
    folder.mkdir()
    subprocess.run(["tar", "x", "-C", folder], input=_git("archive", COMMIT), check=True)


def _git(*words: str) -> bytes:
    return subprocess.run(
        ["git", "-C", str(REPOSITORY), *words], check=True, capture_output=True
    ).stdout
