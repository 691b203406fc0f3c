"""The installation in docs/operations.md, done as written on a copy of this machine.

Proves that the snippets fit an existing Postfix and Dovecot, and that each service
can work with the user, groups and umask of its unit, which the private stack
(where all runs as root) cannot show.
"""

import re
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STACK = ROOT / "tests/stack"
SECONDS = 240  # a quarter of a minute alone on the machine
BLOCK = re.compile(r"^```sh ?(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECTIONS = ("Install", "See that it works")

# A mail server as it stands before gatepost comes: Debian's files, one mailbox domain.
SITE = """\
openssl req -x509 -nodes -days 2 -subj /CN=localhost -newkey ec -pkeyopt \\
  ec_paramgen_curve:prime256v1 -addext subjectAltName=IP:127.0.0.1 \\
  -keyout /etc/ssl/site.key -out /etc/ssl/site.crt
cat > /etc/postfix/main.cf <<'X'
compatibility_level = 3.6
myhostname = mx.example.edu
mydestination = localhost
mynetworks =
inet_interfaces = 127.0.0.1
smtpd_tls_cert_file = /etc/ssl/site.crt
smtpd_tls_key_file = /etc/ssl/site.key
smtpd_tls_security_level = may
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
alias_maps =
maillog_file = /var/log/mail.log
virtual_mailbox_domains = mail.example.edu
virtual_transport = lmtp:unix:private/dovecot-lmtp
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
X
cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf
cat > /etc/dovecot/conf.d/99-site.conf <<'X'
log_path = /var/log/dovecot.log
protocol lmtp {
  postmaster_address = postmaster@mail.example.edu
}
X
case $(dovecot --version) in
2.3*) cat >> /etc/dovecot/conf.d/99-site.conf <<'X'
mail_location = maildir:~/Maildir
ssl_cert = </etc/ssl/site.crt
ssl_key = </etc/ssl/site.key
X
;;
*) cat >> /etc/dovecot/conf.d/99-site.conf <<'X'
mail_driver = maildir
mail_path = ~/Maildir
mail_inbox_path =
ssl_server_cert_file = /etc/ssl/site.crt
ssl_server_key_file = /etc/ssl/site.key
X
;;
esac
install -d -o 5000 -g 5000 /var/vmail
sed -i '/^ssl_/d' /etc/dovecot/conf.d/10-ssl.conf
spamd --daemonize --local --listen 127.0.0.1 --nouser-config --syslog /var/log/spamd.log
dovecot
postfix start
"""

# What "pip install" does, without a network: the environment of the tests lends its libraries.
PROGRAM = """\
python3 -m venv --without-pip /opt/gatepost/venv
site=$(echo /opt/gatepost/venv/lib/python3*/site-packages)
echo /opt/gatepost/packages > "$site/packages.pth"
(cd /usr/src/gatepost && cp -r {packages} "$site")
printf '#!/opt/gatepost/venv/bin/python -I\\nfrom cli import main\\nmain()\\n' > /tmp/gatepost
install -m 755 /tmp/gatepost /opt/gatepost/venv/bin/gatepost
"""

# What a person types at a prompt, where there is no terminal.
TYPED = {
    "gatepost account passwd alice\n": (
        "echo 'correct horse battery' | gatepost account passwd alice --password-stdin\n"
    ),
    "doveadm auth test alice\n": "doveadm auth test alice 'correct horse battery'\n",
}

TRIAL = """\
echo 'correct horse battery' | gatepost account add carol --role alumni --password-stdin
sed -n 's/^[*].* gatepost  //p' /etc/cron.d/gatepost | runuser -u gatepost -- sh -eu
cd /usr/src/gatepost
PYTHONDONTWRITEBYTECODE=1 {python} -m tests.stack.rehearsed
"""

ON_FAILURE = """\
trap 'cat /var/log/units/*.log /var/log/dovecot.log /var/log/mail.log | tail -60' EXIT
"""


def blocks(sections: tuple[str, ...]) -> Iterator[str]:
    """Return the commands of *sections*, the ones that need a network replaced."""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        if section.splitlines()[0] not in sections:
            continue
        for words, block in re.findall(
            r"^```sh ?(\w*)\n(.*?)^```", section, re.MULTILINE | re.DOTALL
        ):
            if words == "terminal":
                for asking, answered in TYPED.items():
                    block = block.replace(asking, answered)  # noqa: PLW2901 - the same, answered
            yield PROGRAM.format(packages=" ".join(packages)) if words == "network" else block


def may_copy_the_machine() -> bool:
    """Return whether this kernel and container let us mount a copy-on-write root."""
    trial = (
        "mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w /mnt/m && "
        "mount -t overlay o -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/m && ip link show lo"
    )
    words = ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-c", trial]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0


@pytest.mark.slow  # and needs overlays, which a chroot or a container may not give
@pytest.mark.timeout(SECONDS + 60)
def test_the_documented_installation_works_beside_a_running_mail_server(tmp_path: Path) -> None:
    assert may_copy_the_machine(), "needs mount namespaces and overlays: run on a machine or a VM"
    python = f"/usr/src/gatepost/{Path(sys.prefix).relative_to(ROOT)}/bin/python"
    steps = tmp_path / "steps.sh"
    parts = [ON_FAILURE, SITE, *blocks(SECTIONS), TRIAL.format(python=python)]
    steps.write_text("\n".join(parts))
    folder = tmp_path / "copy"
    folder.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
         str(STACK / "rehearse.sh"), str(folder), str(ROOT), sysconfig.get_path("purelib"),
         str(steps)],
        check=False, capture_output=True, text=True, timeout=SECONDS, errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stderr[-6000:]}\n{done.stdout[-6000:]}"
    assert "rehearsed" in done.stdout


def test_every_section_that_is_rehearsed_has_commands() -> None:
    for section in SECTIONS:
        assert list(blocks((section,)))
