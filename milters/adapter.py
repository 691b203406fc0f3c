"""libmilter's callbacks, turned into calls of `milters.message` and its verdict into replies.

The only file that knows pymilter. Callbacks of one connection come one after the
other but on different threads (libmilter's pool), so nothing here belongs to a
thread. Only the steps and actions that are used are negotiated; HELO, DATA,
end-of-header and unknown commands never reach us.

Whatever goes wrong in a callback ends in our own 451: the client keeps the mail.
"""

import email.utils
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

import Milter

from config.logs import fields
from config.units import Address
from milters.message import Envelope, Message
from milters.spam import Edit
from milters.verdict import BUSY, FAILED, Refuse, Verdict

log = logging.getLogger("milter")
# What we ask Postfix to allow: header fields added and changed, recipients taken off.
ACTIONS = Milter.ADDHDRS | Milter.CHGHDRS | Milter.DELRCPT | Milter.SETSYMLIST
Error = Milter.error
P = ParamSpec("P")
Self = TypeVar("Self", bound="Connection")


class Service(Protocol):
    """What the connections share."""

    def admit(self) -> bool:
        """Count a message in; ``False`` when no more can be taken now."""

    def release(self) -> None:
        """Count a message out."""

    def judging(self) -> AbstractContextManager[None]:
        """Count a message as whole while in it."""

    def trusts(self, client: str) -> bool:
        """Return whether mail from the address *client* is believed."""

    def begin(self, envelope: Envelope) -> Message:
        """Return a new message, made with the settings of this moment."""


def _guarded(
    callback: Callable[Concatenate[Self, P], int],
) -> Callable[Concatenate[Self, P], int]:
    """Turn every exception of *callback* into a 451 with the queue id in the log."""

    @wraps(callback)
    def wrapper(self: Self, *args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return callback(self, *args, **kwargs)
        except Exception:  # the edge: nothing may reach libmilter
            log.exception(fields(id=self.queue_id(), event="error", at=callback.__name__))
            self._broken = self._broken or callback.__name__ == "connect"
            self.give_up(FAILED)
            return self.refused_early(callback.__name__)

    return cast("Callable[Concatenate[Self, P], int]", wrapper)


class Connection(Milter.Base):
    """One connection from Postfix; how much it answers is up to the kind of socket."""

    # Steps whose answer Postfix does not wait for: they cannot refuse.
    silent: frozenset[str] = frozenset()

    def __init__(self, service: Service) -> None:
        self._service = service
        self._client = ("", "")  # address, name
        self._broken = False  # we do not know who the client is, so no message is taken
        self._message: Message | None = None
        self._refusal: Refuse | None = None  # what end of message will say, whatever comes
        self._admitted = False

    @_guarded
    def negotiate(self, opts: list[int]) -> int:
        """Ask for what we use only: actions, queue id, user."""
        answer = super().negotiate(opts)
        opts[0] = self._actions = self._actions & ACTIONS
        if self._actions & Milter.SETSYMLIST:
            # Base.setsymlist passes bytes, which Python 3 refuses; the context takes text.
            self._ctx.setsymlist(Milter.M_CONNECT, "j")
            self._ctx.setsymlist(Milter.M_ENVFROM, "i {auth_authen}")
            self._ctx.setsymlist(Milter.M_ENVRCPT, "{rcpt_addr}")
            self._ctx.setsymlist(Milter.M_EOM, "i")
        return answer

    @_guarded
    def connect(self, hostname: str, family: int, hostaddr: Any) -> int:  # noqa: ARG002
        """Remember who the client is."""
        address = hostaddr[0] if isinstance(hostaddr, tuple) else "local"
        self._client = (address, hostname)
        return Milter.CONTINUE

    @_guarded
    def envfrom(self, sender: str, *parameters: str) -> int:
        """Begin a message."""
        self._reset()
        self._admitted = self._service.admit()
        if self._broken or not self._admitted:
            self.give_up(FAILED if self._broken else BUSY)
            return self.refused_early("envfrom")
        address, name = self._client
        self._message = self._service.begin(
            Envelope(
                client=address,
                client_name=name,
                sender=sender,
                user=self.getsymval("{auth_authen}") or "",
                trusted=self._service.trusts(address),
                declared=_declared(parameters),
                date=email.utils.formatdate(),
                mta=self.getsymval("j") or "",
            )
        )
        return Milter.CONTINUE

    @_guarded
    def envrcpt(self, recipient: str, *parameters: str) -> int:  # noqa: ARG002
        """Take a recipient."""
        if self._message is not None:
            self._message.recipient(recipient, meant=self.getsymval("{rcpt_addr}") or "")
        return Milter.CONTINUE

    @_guarded
    def header(self, name: str, value: bytes) -> int:
        """Take a header field."""
        if self._message is not None:
            self._message.header(name, value)
        return Milter.CONTINUE

    def header_bytes(self, name: str, value: bytes) -> int:
        """Take the bytes as they are; `Base` would decode them."""
        return self.header(name, value)

    @_guarded
    def body(self, piece: bytes) -> int:
        """Take a piece of the body, or say that no more is needed."""
        if self._message is not None and self._message.body(piece):
            return Milter.CONTINUE
        return Milter.SKIP if self._protocol & Milter.P_SKIP else Milter.CONTINUE

    @_guarded
    def eom(self) -> int:
        """Give the verdict."""
        try:
            verdict: Verdict = self._refusal or FAILED
            if self._refusal is None and self._message is not None:
                with self._service.judging():
                    verdict = self._message.verdict(self.queue_id() or "")
            self._log(verdict)
            return self._say(verdict)
        finally:
            self._reset()

    @_guarded
    def abort(self) -> int:
        """Forget the message: RSET, a refusal, or the client has gone."""
        self._reset()
        return Milter.CONTINUE

    @_guarded
    def close(self) -> int:
        """Forget everything."""
        self._reset()
        return Milter.CONTINUE

    def queue_id(self) -> str | None:
        """Return Postfix's queue id, as soon as it has one."""
        return self.getsymval("i")

    def give_up(self, refusal: Refuse) -> None:
        """Let this message end in *refusal*, and keep nothing of it."""
        self._forget()
        self._refusal = refusal

    def refused_early(self, step: str) -> int:
        """Refuse at *step* if Postfix waits for an answer there, else at end of message."""
        if step == "negotiate":
            return Milter.REJECT  # ends the connection; Postfix says 451 (milter_default_action)
        if step in self.silent or step in ("connect", "abort", "close") or not self._refusal:
            return Milter.CONTINUE
        return self._say(self._refusal)

    def _reset(self) -> None:
        self._refusal = None
        if self._admitted:
            self._admitted = False
            self._service.release()
        self._forget()

    def _forget(self) -> None:
        message, self._message = self._message, None
        if message is not None:
            message.close()

    def _say(self, verdict: Verdict) -> int:
        if isinstance(verdict, Refuse):
            # pymilter wants each percent sign doubled.
            text = verdict.line().replace("%", "%%")
            self.setreply(verdict.code, verdict.enhanced, text)
            return Milter.REJECT if verdict.is_permanent else Milter.TEMPFAIL
        for edit in verdict.edits:
            self._apply(edit)
        for recipient in verdict.dropped:
            self.delrcpt(recipient)
        return Milter.CONTINUE

    def _apply(self, edit: Edit) -> None:
        if edit.index == 0:
            self.addheader(edit.name, edit.value or "")
        else:
            self.chgheader(edit.name, edit.index, edit.value or "")

    def _log(self, verdict: Verdict) -> None:
        message = self._message
        if message is None:
            log.error(fields(id=self.queue_id(), verdict="tempfail", sender=None))
            return
        log.info(
            fields(
                id=self.queue_id(),
                client=message.envelope.client,
                user=message.envelope.user or None,
                sender=message.envelope.sender,
                recipients=len(message.recipients),
                size=message.measured.size,
                **_shown(verdict),
            )
        )


class UnixConnection(Connection):
    """For unix sockets: Postfix waits for an answer to the body and the end only.

    A fifth faster than answering every step.
    """

    silent = frozenset({"connect", "envfrom", "envrcpt", "header"})
    connect = Milter.noreply(Connection.connect)
    envfrom = Milter.noreply(Connection.envfrom)
    envrcpt = Milter.noreply(Connection.envrcpt)
    header = Milter.noreply(Connection.header)


class TcpConnection(Connection):
    """For TCP: every step is answered, also those of no interest.

    Postfix sends the macros of HELO and DATA even where it may skip the command.
    Whatever it sends next then waits 40 ms: Nagle's algorithm (RFC 896) wants the
    macros acknowledged, and a side with nothing to say delays that.
    """

    def hello(self, hostname: str) -> int:  # noqa: ARG002 - libmilter's interface
        """Answer."""
        return Milter.CONTINUE

    def data(self) -> int:
        """Answer."""
        return Milter.CONTINUE


def prepare(service: Service, address: Address) -> None:
    """Set libmilter up to serve *address*; `serve` then runs it."""
    kind = UnixConnection if address.kind == "unix" else TcpConnection
    Milter.factory = lambda: kind(service)
    Milter.set_flags(ACTIONS)
    Milter.set_exception_policy(Milter.TEMPFAIL)


def serve(address: Address) -> None:
    """Run libmilter until `stop`; not in the main thread, whose signals it would take."""
    where = f"unix:{address.path}" if address.kind == "unix" else _inet(address)
    Milter.runmilter("gatepost", where)


def stop() -> None:
    """Let `serve` return. Takes up to three seconds."""
    Milter.stop()


def _inet(address: Address) -> str:
    family = "inet6" if ":" in address.host else "inet"
    return f"{family}:{address.port}@{address.host}"


def _shown(verdict: Verdict) -> dict[str, str | None]:
    """Return *verdict* as a log line shows it."""
    if isinstance(verdict, Refuse):
        return {"verdict": f"{verdict.code} {verdict.text}"}
    edits = " ".join(f"{edit.name}={edit.value}" for edit in verdict.edits)
    dropped = " ".join(verdict.dropped)
    return {"verdict": "accept", "edits": edits or None, "dropped": dropped or None}


def _declared(parameters: tuple[str, ...]) -> int | None:
    """Return SIZE= as the client wrote it: any case, and perhaps nonsense; 0 is unknown."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.upper() == "SIZE" and value.isascii() and value.isdigit():
            return int(value) or None
    return None
