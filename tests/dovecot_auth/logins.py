"""Logins decided by a `Checker` as authd and the script have it do."""

from dovecot_auth.check import Checker
from dovecot_auth.verdict import Denied, Login, LoginResult
from store.logins import password_hashes

PASSWORD = "alice's password"


def decide(checker: Checker, user: str, password: str, service: str = "imap") -> LoginResult:
    return checker.verify(Login(user, password, service, "192.0.2.7"))


def outcome(checker: Checker, user: str, password: str, service: str = "imap") -> str:
    """Return the reason of a refusal, else "allowed"."""
    answer = decide(checker, user, password, service).answer
    return answer.reason if isinstance(answer, Denied) else "allowed"


def finish(checker: Checker, result: LoginResult) -> None:
    """Do what authd does after the answer."""
    upgrade = result.upgrade
    checker.finish(result, password_hashes.hash_password(upgrade.password) if upgrade else None)


def guess(
    checker: Checker, times: int, *, remote: str = "198.51.100.9", user: str = "alice"
) -> None:
    for number in range(times):
        checker.verify(Login(user, f"guess {number}", "imap", remote))
