"""Twenty-odd things that a site's mail server does: the same before, with and after gatepost.

    python -m tests.existing.things LEADER RELEASE TAG      prints them as JSON

Each is observed from outside or as a user of the machine, and described in a word or two.
"""

import imaplib
import json
import re
import smtplib
import socket
import sys
from collections.abc import Callable, Mapping

from tests.existing import mail
from tests.existing.machine import Machine
from tests.existing.mail import CAMPUS, OLD_PASSWORD, OTHER_STRANGER, OUTSIDE, SPAMMER, STRANGER

ACCOUNTS = (  # of site.sh
    *("anna", "bert", "carl", "dora", "emil", "frida", "gerd", "hanna", "ingo", "jana"),
    *("karl", "lena", "mara", "nils", "olga", "paul", "quirin", "rosa", "sven", "tina"),
)
ANNA = ("anna", OLD_PASSWORD)

# On a healthy server. None: any value, as long as it is the same before, with and after.
EXPECTED = {
    "all accounts sign in by IMAP and POP3": "20 of 20",
    "a wrong password is refused": "AUTHENTICATIONFAILED",
    "submission takes mail": "250 at END",
    "submission refuses a forged sender": "553 at RCPT",
    "submission wants a login": "553 at RCPT",
    "submission offers no login without TLS": "no AUTH",
    "submission rewrites headers": "X-Client-Secret gone",
    "port 465 is closed": "refused",
    "outgoing mail is signed": "DKIM-Signature",
    "incoming signatures are verified": "dkim=pass",
    "strangers are greylisted": "450 at RCPT, then 250 at END",
    "bad clients are refused": "554 at RCPT",
    "unknown recipients are refused": "550 at RCPT",
    "strangers cannot relay": "454 at RCPT",
    "campus computers relay without a login": "250 at END",
    "sendmail(1) of a user is delivered": "arrived, signed",
    "output of cron is delivered": "arrived",
    "aliases and extensions are delivered": "arrived, arrived",
    "the site's Sieve script files mail": "Lectures",
    "bert has a quota of his own": None,
    "anna has a quota": None,  # the site's before, the role's with gatepost
    "nothing waits in the queue": "Mail queue is empty",
    "services of master.cf": None,
    "process limits": None,
}


def observe(machine: Machine, tag: str) -> dict[str, str]:
    """Return each thing as observed; *tag* tells the mails of several rounds apart."""
    seen: dict[str, Callable[[], str]] = {
        "all accounts sign in by IMAP and POP3": _logins,
        "a wrong password is refused": _wrong_password,
        "submission takes mail": lambda: str(_submit(f"lecture-{tag}")),
        "submission refuses a forged sender": lambda: str(_submit("forged", sender="bert")),
        "submission wants a login": lambda: str(
            mail.send(CAMPUS, "anna", sender="anna@example.edu", port=587)
        ),
        "submission offers no login without TLS": _no_auth_in_the_clear,
        "submission rewrites headers": lambda: _header_rewriting(tag),
        "port 465 is closed": _port_465,
        "outgoing mail is signed": lambda: _signature(f"lecture-{tag}"),
        "incoming signatures are verified": lambda: _verification(machine, tag),
        "strangers are greylisted": lambda: _greylisting(tag),
        "bad clients are refused": lambda: str(mail.send(SPAMMER, "anna")),
        "unknown recipients are refused": lambda: str(mail.send_patiently(STRANGER, "nobody")),
        "strangers cannot relay": lambda: str(mail.send(STRANGER, OUTSIDE)),
        "campus computers relay without a login": lambda: str(
            mail.send(CAMPUS, OUTSIDE, sender="printer@example.edu")
        ),
        "sendmail(1) of a user is delivered": lambda: _sendmail(machine, tag),
        "output of cron is delivered": lambda: _cron(machine, tag),
        "aliases and extensions are delivered": lambda: _aliases(tag),
        "the site's Sieve script files mail": lambda: _sieve(tag),
        "bert has a quota of his own": lambda: _quota(machine, "bert"),
        "anna has a quota": lambda: _quota(machine, "anna"),
        "nothing waits in the queue": lambda: machine.wait_for(
            "postqueue -p | grep -x 'Mail queue is empty'"
        ).strip(),
        "services of master.cf": lambda: machine.run("postconf -M"),
        "process limits": lambda: machine.run("postconf -P; postconf default_process_limit"),
    }
    return {name: _describe(look) for name, look in seen.items()}


def _describe(look: Callable[[], str]) -> str:
    try:
        return look()
    except (AssertionError, OSError, smtplib.SMTPException, imaplib.IMAP4.error) as error:
        return f"{type(error).__name__}: {error}"


def _logins() -> str:
    good = 0
    for name in ACCOUNTS:
        mail.imap(name, OLD_PASSWORD).logout()
        good += mail.pop3(name, OLD_PASSWORD).startswith("+OK")
    return f"{good} of {len(ACCOUNTS)}"


def _wrong_password() -> str:
    try:
        mail.imap("tina", "not the password")
    except imaplib.IMAP4.error as error:
        return "AUTHENTICATIONFAILED" if "AUTHENTICATIONFAILED" in str(error) else str(error)
    return "let in"


def _submit(subject: str, *, sender: str = "anna", to: str = "carl") -> mail.Reply:
    return mail.send(CAMPUS, to, sender=mail.address(sender), login=ANNA, port=587, subject=subject)


def _no_auth_in_the_clear() -> str:
    with smtplib.SMTP(mail.SERVER, 587, source_address=(CAMPUS, 0), timeout=mail.SECONDS) as smtp:
        smtp.ehlo("client.example")
        return "AUTH" if smtp.has_extn("auth") else "no AUTH"


def _header_rewriting(tag: str) -> str:
    data = mail.message(f"secret-{tag}", sender="anna@example.edu", X_Client_Secret="10.0.0.1")
    mail.send(CAMPUS, "carl", sender="anna@example.edu", login=ANNA, port=587, data=data)
    found = mail.wait_for_mail("carl", f"secret-{tag}")
    return "X-Client-Secret kept" if "X-Client-Secret" in found else "X-Client-Secret gone"


def _port_465() -> str:
    try:
        socket.create_connection((mail.SERVER, 465), timeout=mail.SECONDS).close()
    except ConnectionRefusedError:
        return "refused"
    return "open"


def _signature(subject: str) -> str:
    found = mail.wait_for_mail("carl", subject)
    return "DKIM-Signature" if "d=example.edu" in str(found["DKIM-Signature"]) else "unsigned"


def _verification(machine: Machine, tag: str) -> str:
    """Return the site's verdict on a mail that a server elsewhere signed with its own key."""
    data = mail.message(f"signed-{tag}", sender=OUTSIDE, Date="Wed, 25 Nov 2026 12:00:00 +0000")
    (machine.root / "root/mail").write_bytes(data)
    signed = machine.run(
        "dkimsign --hcanon relaxed --bcanon simple s1e elsewhere.example "
        "/etc/dkimkeys/s1e.private </root/mail"
    )
    raw = signed.replace("\r\n", "\n").replace("\n", "\r\n").encode()
    reply = mail.send_patiently(OTHER_STRANGER, "anna", data=raw)
    assert reply.code == 250, reply
    results = " ".join(
        mail.wait_for_mail("anna", f"signed-{tag}").get_all("Authentication-Results", [])
    )
    found = re.search(r"dkim=\w+", results)
    return found[0] if found else f"no result: {results}"


def _greylisting(tag: str) -> str:
    sender = f"first-{tag}@elsewhere.example"
    first = mail.send(STRANGER, "dora", sender=sender)
    return f"{first}, then {mail.send_patiently(STRANGER, 'dora', sender=sender)}"


def _sendmail(machine: Machine, tag: str) -> str:
    machine.run(
        f"printf 'Subject: report-{tag}\\nTo: emil@example.edu\\n\\nfine\\n' | sendmail -t",
        user="webapp",
    )
    found = mail.wait_for_mail("emil", f"report-{tag}")
    return "arrived, signed" if "DKIM-Signature" in found else "arrived, unsigned"


def _cron(machine: Machine, tag: str) -> str:
    """Have cron run a job with output, which cron gives to sendmail(1)."""
    machine.run(f"echo 'output {tag}' >/root/report")
    machine.wait_for("test ! -e /root/report", seconds=75)
    mail.wait_for_mail("anna", "Cron <root@mail", body=f"output {tag}")
    return "arrived"


def _aliases(tag: str) -> str:
    for to in ("info", "anna+lectures"):
        reply = mail.send_patiently(OTHER_STRANGER, to, subject=f"to-{to}-{tag}")
        assert reply.code == 250, reply
        mail.wait_for_mail("anna", f"to-{to}-{tag}")
    return "arrived, arrived"


def _sieve(tag: str) -> str:
    data = mail.message(f"list-{tag}", List_Id="<lectures.elsewhere.example>")
    reply = mail.send_patiently(OTHER_STRANGER, "frida", data=data)
    assert reply.code == 250, reply
    mail.wait_for_mail("frida", f"list-{tag}", folder="Lectures")
    return "Lectures"


def _quota(machine: Machine, name: str) -> str:
    """Return the limit in KiB, as Dovecot reports it."""
    shown = machine.run(f"doveadm -f tab quota get -u {name} 2>/dev/null")
    return next(
        line.split("\t")[3] for line in shown.splitlines() if "\tSTORAGE\t" in f"\t{line}\t"
    )


def differing(
    now: Mapping[str, str], wanted: Mapping[str, str | None], *, besides: tuple[str, ...] = ()
) -> dict[str, tuple[str, str | None]]:
    """Return what differs from *wanted*, where ``None`` stands for any value."""
    return {
        name: (now[name], value)
        for name, value in wanted.items()
        if value is not None and now[name] != value and name not in besides
    }


if __name__ == "__main__":
    json.dump(observe(Machine(int(sys.argv[1]), sys.argv[2]), sys.argv[3]), sys.stdout, indent=1)
