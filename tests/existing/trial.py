"""What gatepost promises, tried on a mail server that existed before it.

    python -m tests.existing.trial LEADER RELEASE [PROMISE...]      all, unless some are named

Every address and account is used by one promise only, so that limits of one do not affect another.
"""

import imaplib
import json
import sys
import time
from collections.abc import Callable, Sequence

from tests.existing import mail
from tests.existing.machine import Machine
from tests.existing.mail import (
    DOMAIN,
    OLD_PASSWORD,
    OTHER_STRANGER,
    RELAY,
    SECOND_CAMPUS,
    STRANGER,
    THIRD_CAMPUS,
    message,
)
from tests.stack.messages import GTUBE, MIB, attached

# The shipped limit of a client.
LIMIT = 200
PER_MESSAGE = 100
EXEMPT_SECONDS = 5
# The whitelist is in force within 2 s; the rest is for a busy machine.
IN_FORCE_SECONDS = 10
POLL_SECONDS = 0.2


def main(machine: Machine, names: Sequence[str]) -> None:
    """Try the promises with these *names*, or all; an assertion that fails ends the trial."""
    for promise in PROMISES:
        if not names or promise.__name__ in names:
            promise(machine)
            print(promise.__name__)


def outside(number: int) -> list[str]:
    """Return *number* addresses outside the site."""
    return [f"friend{each}@elsewhere.example" for each in range(number)]


def campus_computers_are_limited_without_a_login(_machine: Machine) -> None:
    """Port 25, no login, an address of site.campus_networks."""
    for _ in range(LIMIT // PER_MESSAGE):
        reply = mail.send(SECOND_CAMPUS, *outside(PER_MESSAGE), sender=f"lab@{DOMAIN}")
        assert reply.code == 250, reply
    reply = mail.send(SECOND_CAMPUS, *outside(1), sender=f"lab@{DOMAIN}")
    assert reply.code == 450, reply
    assert f"Limit of {LIMIT} recipients per hour for {SECOND_CAMPUS} reached" in reply.text


def a_null_sender_exempts_no_campus_computer(_machine: Machine) -> None:
    """An infected machine that sends with MAIL FROM:<> is limited all the same."""
    reply = mail.send(SECOND_CAMPUS, *outside(1), sender="")
    assert reply.code == 450, reply


def a_limited_computer_sends_while_it_is_exempted(machine: Machine) -> None:
    """When the exemption ends, the limit is back."""
    words = f"{SECOND_CAMPUS} --for {EXEMPT_SECONDS}s --reason newsletter"
    machine.run(f"gatepost whitelist add {words}")
    until_replied(250, SECOND_CAMPUS)
    until_replied(450, SECOND_CAMPUS)


def until_replied(code: int, client: str, *, recipients: int = 1) -> None:
    """Send mails from *client* until one is answered with *code*."""
    deadline = time.monotonic() + EXEMPT_SECONDS + IN_FORCE_SECONDS
    to = outside(recipients)
    while (reply := mail.send(client, *to, sender=f"lab@{DOMAIN}")).code != code:
        assert time.monotonic() < deadline, reply
        time.sleep(POLL_SECONDS)


def mail_from_outside_is_charged_to_no_account(machine: Machine) -> None:
    """A stranger's mail arrives and counts against no limit."""
    reply = mail.send_patiently(STRANGER, "gerd", sender="world@elsewhere.example", subject="world")
    assert reply.code == 250, reply
    mail.wait_for_mail("gerd", "world")
    assert used(machine, STRANGER) == 0


def an_account_is_charged_on_the_submission_port(machine: Machine) -> None:
    """By main.cf alone: nothing in master.cf names gatepost."""
    before = used(machine, "hanna")
    reply = mail.send(
        THIRD_CAMPUS, "gerd", "ingo", sender=f"hanna@{DOMAIN}", login=("hanna", OLD_PASSWORD),
        port=587,
    )  # fmt: skip
    assert reply.code == 250, reply
    assert used(machine, "hanna") == before + 2


def an_account_is_limited_on_the_submission_port(machine: Machine) -> None:
    """An override of the role's limit holds within seconds."""
    machine.run("gatepost account set sven --send 2/1h")
    deadline = time.monotonic() + IN_FORCE_SECONDS
    login = ("sven", OLD_PASSWORD)
    while (
        reply := mail.send(THIRD_CAMPUS, "gerd", sender=f"sven@{DOMAIN}", login=login, port=587)
    ).code != 450:
        assert reply.code == 250, reply
        assert time.monotonic() < deadline, reply
    assert "Limit of 2 recipients per hour for sven reached" in reply.text


def a_relay_of_the_campus_is_exempted_by_its_address(machine: Machine) -> None:
    """A gateway has many users behind it."""
    machine.run(f"gatepost whitelist add {RELAY} --permanent --reason 'mail gateway'")
    for _ in range(LIMIT // PER_MESSAGE + 1):
        until_replied(250, RELAY, recipients=PER_MESSAGE)


def spam_is_tagged_and_reaches_its_reader(_machine: Machine) -> None:
    """A stranger's spam is tagged, whatever it forges."""
    data = message("watches", body=GTUBE + "\r\n", X_Spam_Flag="NO")
    reply = mail.send_patiently(OTHER_STRANGER, "jana", data=data)
    assert reply.code == 250, reply
    found = mail.wait_for_mail("jana", "watches")
    assert str(found["Subject"]) == "***SPAM*** watches"
    assert found.get_all("X-Spam-Flag") == ["YES"]


def attachments_are_measured_by_the_role_of_the_reader(machine: Machine) -> None:
    """The same 11 MiB reach staff and are refused for an alumnus."""
    machine.run("gatepost account graduate karl --yes")
    data = attached("pictures", 11 * MIB)
    assert mail.send_patiently(OTHER_STRANGER, "lena", data=data).code == 250
    mail.wait_for_mail("lena", "pictures")
    reply = mail.send_patiently(OTHER_STRANGER, "karl", data=data)
    assert reply.code == 552, reply
    assert "10 MiB" in reply.text


def a_full_mailbox_is_refused_at_rcpt_until_it_is_emptied(machine: Machine) -> None:
    """Postfix asks Dovecot's quota-status about the site's domains."""
    machine.run("gatepost account set mara --mailbox 10K")
    machine.wait_for("doveadm user mara | grep -E ':bytes=10240|10240B'")
    for number in range(3):
        fill = message(f"fill {number}", body=("y" * 70 + "\r\n") * 60)
        mail.send_patiently(OTHER_STRANGER, "mara", data=fill)
        machine.wait_for("postqueue -p | grep -x 'Mail queue is empty'")
    reply = mail.send_patiently(OTHER_STRANGER, "mara", size=20000)
    assert str(reply) == "552 at RCPT", reply
    machine.run("doveadm expunge -u mara mailbox INBOX all")
    reply = mail.send_patiently(OTHER_STRANGER, "mara", subject="room again", size=8000)
    assert reply.code == 250, reply
    mail.wait_for_mail("mara", "room again")


def a_suspended_account_neither_signs_in_nor_sends(machine: Machine) -> None:
    """Other passdbs are switched off, so that only gatepost checks passwords."""
    machine.run("gatepost setup dovecot --apply --end-other-passdbs")
    mail.imap("nils", OLD_PASSWORD).logout()
    machine.run("gatepost account suspend nils --scope everything --reason phished")
    machine.wait_for("! doveadm auth test nils 'old site password'")
    try:
        mail.imap("nils", OLD_PASSWORD)
    except imaplib.IMAP4.error:
        pass
    else:
        raise AssertionError("a suspended account signed in")
    mail.imap("olga", OLD_PASSWORD).logout()
    machine.run("gatepost account resume nils")
    machine.wait_for("doveadm auth test nils 'old site password'")


PROMISES: tuple[Callable[[Machine], None], ...] = (
    campus_computers_are_limited_without_a_login,
    a_null_sender_exempts_no_campus_computer,
    a_limited_computer_sends_while_it_is_exempted,
    mail_from_outside_is_charged_to_no_account,
    an_account_is_charged_on_the_submission_port,
    an_account_is_limited_on_the_submission_port,
    a_relay_of_the_campus_is_exempted_by_its_address,
    spam_is_tagged_and_reaches_its_reader,
    attachments_are_measured_by_the_role_of_the_reader,
    a_full_mailbox_is_refused_at_rcpt_until_it_is_emptied,
    a_suspended_account_neither_signs_in_nor_sends,
)


def used(machine: Machine, subject: str) -> int:
    """Return how many recipients *subject* has had within its longest window."""
    shown = machine.try_run(f"gatepost limit show {subject} --json 2>/dev/null")
    return max((each["used"] for each in json.loads(shown.text)), default=0)


if __name__ == "__main__":
    main(Machine(int(sys.argv[1]), sys.argv[2]), sys.argv[3:])
