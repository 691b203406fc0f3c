"""The events that services log, one vocabulary, so that a monitor needs one list.

A line is ``event=NAME key=value …``; the key for a cause is always ``reason``. A line about a
message begins with its queue id. The table in docs/operations.md is checked against `MEANINGS`.
"""

from typing import Literal

from config.daemon.logs import fields, quoted

Event = Literal[
    # a service's life
    "ready",
    "stopping",
    "stopped",
    "reloaded",
    "reload-failed",
    "restart-needed",
    "setting-ignored",
    "cannot-listen",
    "listen-ignored",
    "sockets-ignored",
    "drain-timeout",
    "libmilter-failed",
    "libmilter-ended",
    "bug",
    # `gatepost serve`
    "service-started",
    "service-ended",
    "service-killed",
    "sockets-passed",
    # the store
    "store-lost",
    "store-back",
    "store-unusable",
    "accounts-unknown",
    "refresh-failing",
    "refresh-back",
    "counts-lost",
    "refunds-lost",
    "failure-counted-locally",
    "write-skipped",
    # peers
    "deadline",
    "protocol-error",
    "too-many-connections",
    "no-such-user",
    "caller-refused",
    "callers-refused",
    "try-later",
    # decisions
    "tally",
    "nothing-is-limited",
    "login-allowed",
    "login-refused",
    "login-blocked",
    "hash-upgraded",
    "hash-unusable",
    "spamd-unavailable",
    "dsn-sent",
    "dsn-failed",
]

MEANINGS: dict[Event, str] = {
    "ready": "the service answers",
    "stopping": "the service drains: no new connections, open requests are answered",
    "stopped": "the service has ended",
    "reloaded": "the new settings are in force",
    "reload-failed": "gatepost.toml has an error; the old settings stay in force",
    "restart-needed": "a changed setting takes effect only after a restart",
    "setting-ignored": "gatepost.toml has a key of an earlier release; remove it",
    "cannot-listen": "the address is taken or not permitted; the service ends with 69",
    "listen-ignored": "systemd passed other sockets than `listen` names; systemd's are used",
    "sockets-ignored": "systemd's sockets are not served; clients of them hang",
    "drain-timeout": "messages were still in progress when the time to stop was over",
    "libmilter-failed": "libmilter reported an error",
    "libmilter-ended": "libmilter stopped by itself; the milter ends and is started again",
    "bug": "an unexpected exception, with its traceback; please report it",
    "service-started": "`gatepost serve` started a service",
    "service-ended": "a service of `gatepost serve` ended; it is started again",
    "service-killed": "a service of `gatepost serve` did not end in time",
    "sockets-passed": "`gatepost serve` passed systemd's sockets to a service",
    "store-lost": "the database does not answer; decisions continue without it",
    "store-back": "the database answers again",
    "store-unusable": "the database has no tables, or those of another release",
    "accounts-unknown": "the store has never been read: largest limits, no exemptions",
    "refresh-failing": "accounts and exemptions in memory are getting old",
    "refresh-back": "accounts and exemptions in memory are current again",
    "counts-lost": "charges accepted without the store that it will never know",
    "refunds-lost": "charges of messages that were not accepted, which are not refunded",
    "failure-counted-locally": "a wrong password was counted in memory only",
    "write-skipped": "a write that can wait for the next login was left out",
    "deadline": "a connection was closed: a request or an answer took too long",
    "protocol-error": "a connection was closed: the peer does not follow the protocol",
    "too-many-connections": "the least useful connections are closed for new ones",
    "no-such-user": "a setting names a user that this machine does not have",
    "caller-refused": "a process of this user asked authd and may not; once a user",
    "callers-refused": "how many connections such processes made",
    "try-later": "a login was answered with a temporary failure",
    "tally": "decisions of the last ten minutes, by reason",
    "nothing-is-limited": "Postfix never asks at the state where limits are charged",
    "login-allowed": "a login succeeded",
    "login-refused": "a login failed",
    "login-blocked": "a login failed: too many wrong passwords",
    "hash-upgraded": "a password hash became ARGON2ID",
    "hash-unusable": "a password hash cannot be checked",
    "spamd-unavailable": "a message was not checked for spam",
    "dsn-sent": "a delivery status notification was sent",
    "dsn-failed": "a delivery status notification could not be sent",
}


def event(name: Event, queue_id: str = "", /, **values: object) -> str:
    """Return the log line of *name*: the queue id first, values that are ``None`` left out."""
    line = fields(event=name, **values)
    return f"{quoted(queue_id)} {line}" if queue_id else line
