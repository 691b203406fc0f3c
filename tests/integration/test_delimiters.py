"""`site.recipient_delimiter` in all parts at once: "-+" in Postfix and gatepost, "+" in Dovecot."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.stack import messages
from tests.stack.clients import Login
from tests.stack.stack import DOMAIN, Account, Stack


@dataclass(frozen=True, slots=True)
class Site:
    stack: Stack
    mary: Account
    mary_ann: Account


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    hyphens = {"recipient_delimiter": "-+"}
    with Stack(settings={"site": hyphens}, postfix=hyphens) as stack:
        people = [stack.add_account("student", name) for name in ("mary", "mary-ann")]
        stack.settle()
        yield Site(stack, *people)


@pytest.mark.parametrize(
    ("written", "owner"),
    [
        ("mary", "mary"),
        ("mary-lists", "mary"),
        ("mary+lists", "mary"),
        ("mary-ann", "mary-ann"),
        ("mary-ann+lists", "mary-ann"),
        ("mary-ann-lists", "mary-ann"),
    ],
)
def test_mail_sign_in_and_limits_mean_the_same_person(
    site: Site, subject: str, written: str, owner: str
) -> None:
    stack = site.stack
    person = {each.name: each for each in (site.mary, site.mary_ann)}[owner]
    address = f"{written}@{DOMAIN}"
    login = Login(address, person.login.password)
    before = counted(stack, owner)
    sent = stack.clients.submit(
        login,
        messages.plain(subject),
        to=[address],
        sender=person.address,
        computer=stack.computer(),
    )
    assert sent.accepted, sent
    assert counted(stack, owner) == before + 1
    with stack.clients.imap(login) as mailbox:
        mailbox.wait_for(subject)
    assert stack.dovecot.doveadm("user", "-f", "home", written).stdout.strip() == (
        f"{stack.layout.mail}/{owner}"
    )


def test_an_attachment_limit_is_that_of_whose_mailbox_it_is(site: Site) -> None:
    stack = site.stack
    stack.gatepost("account", "set", "mary", "--attachments", "1M").check_returncode()
    big = messages.attached("big.", 3 * messages.MIB)
    stack.until_refused(lambda: stack.clients.deliver(big, to=[f"mary-lists@{DOMAIN}"]))
    assert stack.clients.deliver(big, to=[f"mary-ann@{DOMAIN}"]).accepted


def test_a_command_never_takes_a_slip_for_an_extension(site: Site) -> None:
    for words in (("show",), ("passwd", "--password-stdin"), ("remove", "--yes")):
        command, *options = words
        given = "a new staple battery\n"
        done = site.stack.gatepost("account", command, "mary-anne", *options, given=given)
        assert "no account 'mary-anne'" in done.stderr
        assert done.returncode != 0
    assert site.stack.gatepost("account", "show", "mary+x").returncode == 0


def counted(stack: Stack, name: str) -> int:
    """Return how many recipients the hour of *name* has counted."""
    done = stack.gatepost("limit", "show", name, "--json")
    windows = [each for each in json.loads(done.stdout) if each["span"] == 3600]
    return int(windows[0]["used"])
