"""What Dovecot asks without a password: for LMTP, quota-status and doveadm (R4, R8)."""

import pytest

from tests.integration.conftest import People
from tests.stack.dovecot_release import release
from tests.stack.stack import DOMAIN, Stack


def test_doveadm_knows_home_owner_and_quota(stack: Stack, people: People) -> None:
    done = stack.dovecot.doveadm("user", people.alumni.address)
    assert done.returncode == 0, done.stderr
    fields = dict(line.split("\t", 1) for line in done.stdout.splitlines()[1:])
    assert fields["home"] == f"{stack.layout.mail}/{people.alumni.name}"
    assert fields["uid"] == fields["gid"] == "5000"
    quota = {"2.3": ("quota_rule", f"*:bytes={50 << 20}")}.get(
        release(), ("quota_storage_size", f"{50 << 20}B")
    )
    assert fields[quota[0]] == quota[1]


@pytest.mark.parametrize("name", ["nobody", f"nobody@{DOMAIN}", "somebody@elsewhere.example"])
def test_doveadm_does_not_know_who_is_not_ours(stack: Stack, name: str) -> None:
    assert stack.dovecot.doveadm("user", name).returncode == 67  # EX_NOUSER


def test_a_mailbox_without_a_limit_has_none(stack: Stack) -> None:
    person = stack.add_account("staff")
    stack.gatepost("account", "set", person.name, "--mailbox", "unlimited").check_returncode()
    with stack.clients.imap(person.login) as mailbox, pytest.raises(LookupError):
        mailbox.quota()


@pytest.mark.usefixtures("trouble")
def test_a_login_goes_on_when_the_account_is_looked_up_by_an_alias(stack: Stack) -> None:
    person = stack.add_account("staff", None, "--alias", "rector")
    done = stack.dovecot.doveadm("user", "-f", "home", f"rector@{DOMAIN}")
    assert done.stdout.strip() == f"{stack.layout.mail}/{person.name}"
