"""libmilter's callbacks, turned into calls of `milters.message` and its verdict into replies.

The only file that knows pymilter. Callbacks of one connection come one after the other
but on different threads (libmilter's pool), so nothing here belongs to a thread. Only the
steps and actions that are used are negotiated. Whatever goes wrong in a callback ends in
the milter's own 451: the client keeps the mail.

Text arrives in any encoding. pymilter gives addresses and header values as bytes, but
decodes macros, HELO and the names of header fields as strict UTF-8: a macro raises where
it is read (`Connection.getsymval`), the other two before the callback is called
(`milters.callback_errors`). The client comes from macros, because its name would be a third.
"""

import email.utils
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

import Milter
import milter

from config.daemon.events import event
from config.units import Address, Monotonic
from milters import callback_errors, message_log
from milters.envelope import Envelope, declared_size
from milters.message import Message
from milters.spam import Edit
from milters.verdict import BUSY, FAILED, Refuse, Verdict

log = logging.getLogger("milter")
# What Postfix is asked to allow: adding and changing header fields, removing recipients.
ACTIONS = Milter.ADDHDRS | Milter.CHGHDRS | Milter.DELRCPT | Milter.SETSYMLIST
Error = Milter.error
P = ParamSpec("P")
Self = TypeVar("Self", bound="Connection")


class Service(Protocol):
    """What the connections share."""

    def admit(self) -> bool:
        """Count a message in; ``False`` when no more can be admitted now."""

    def release(self) -> None:
        """Count a message out."""

    def scanning(self) -> AbstractContextManager[None]:
        """Count a message as complete while in the context."""

    def trusts(self, client: str) -> bool:
        """Return whether mail from the address *client* is trusted."""

    def not_accepted(self, queue_id: str, client: str, since: Monotonic) -> None:
        """Note that Postfix did not accept a message, which began after *since* (monotonic)."""

    def begin(self, envelope: Envelope) -> Message:
        """Return a new message with the current settings."""


def _guarded(
    callback: Callable[Concatenate[Self, P], int],
) -> Callable[Concatenate[Self, P], int]:
    """Turn every exception of *callback* into a 451 with the queue id in the log."""

    @wraps(callback)
    def wrapper(self: Self, *args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return callback(self, *args, **kwargs)
        except Exception:  # the edge: nothing may reach libmilter
            log.exception(event("bug", self.queue_id() or "", at=callback.__name__))
            self.give_up(FAILED)
            return self.refused_early(callback.__name__)

    return cast("Callable[Concatenate[Self, P], int]", wrapper)


class Connection(Milter.Base):
    """One connection from Postfix; the kind of socket decides which steps it answers."""

    # Steps that cannot refuse a message: no message is in progress, or Postfix waits for no answer.
    silent: frozenset[str] = frozenset({"hello", "abort", "close"})

    def __init__(self, service: Service) -> None:
        self._service = service
        self._helo = ""
        self._in_message = False
        self._message: Message | None = None
        self._refusal: Refuse | None = None  # the answer at end of message, whatever comes
        self._admitted = False
        self._address = ""
        # Before the message began: Postfix reports its MAIL only at DATA.
        self._since = time.monotonic()

    @_guarded
    def negotiate(self, opts: list[int]) -> int:
        """Ask only for what is used: actions, client, queue id, user."""
        callback_errors.belongs_to(self)
        answer = super().negotiate(opts)
        opts[0] = self._actions = self._actions & ACTIONS
        if self._actions & Milter.SETSYMLIST:
            # Base.setsymlist passes bytes, which Python 3 refuses; the context takes text.
            self._ctx.setsymlist(Milter.M_CONNECT, "j {client_addr} {client_name}")
            # j is always there: libmilter keeps the last message's macros where a list is empty.
            self._ctx.setsymlist(Milter.M_ENVFROM, "j i {auth_authen}")
            self._ctx.setsymlist(Milter.M_ENVRCPT, "{rcpt_addr}")
            self._ctx.setsymlist(Milter.M_DATA, "i")
            self._ctx.setsymlist(Milter.M_EOM, "i")
        return answer

    @_guarded
    def hello(self, hostname: str) -> int:
        """Remember what the client calls itself."""
        self._helo = hostname
        return Milter.CONTINUE

    @_guarded
    def envfrom(self, sender: str, *parameters: str) -> int:
        """Begin a message."""
        self._reset()
        self._in_message = True
        self._address = address = (self.getsymval("{client_addr}") or "").removeprefix("IPv6:")
        self._admitted = self._service.admit()
        if not self._admitted:
            self.give_up(BUSY)
            return self.refused_early("envfrom")
        self._message = self._service.begin(
            Envelope(
                client=address,
                client_name=self.getsymval("{client_name}") or "",
                helo=self._helo,
                sender=sender,
                user=self.getsymval("{auth_authen}") or "",
                trusted=self._service.trusts(address),
                declared=declared_size(parameters),
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

    def data(self) -> int:
        """Get the queue id before the client can disconnect; libmilter answers (see `serve`).

        It reads nothing more from a closed socket, so without an answer here it might miss it.
        """
        return Milter.CONTINUE

    def eoh(self) -> int:
        """End the header. After DATA, libmilter accepts no body without this step."""
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
                with self._service.scanning():
                    verdict = self._message.verdict(self.queue_id() or "")
            self._log(verdict)
            answer = self._say(verdict)
            self._in_message = answer != Milter.CONTINUE  # else it is accepted
            return answer
        finally:
            self._reset()
            self._since = time.monotonic()

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

    def getsymval(self, sym: str) -> str | None:
        """Return a macro, with surrogates for what is not UTF-8, as in addresses."""
        try:
            return super().getsymval(sym)
        except UnicodeDecodeError as error:
            return error.object.decode("utf-8", "surrogateescape")

    def undecoded(self, text: bytes) -> None:
        """Take a HELO, or the name of a field (none through Postfix), that pymilter cannot decode.

        The field's value is lost.
        """
        readable = text.decode("utf-8", "replace")
        if self._in_message:
            self.header(readable, b"")
        else:
            self.hello(readable)

    def queue_id(self) -> str | None:
        """Return Postfix's queue id, as soon as it has one."""
        return self.getsymval("i")

    def give_up(self, refusal: Refuse) -> None:
        """Let this message end in *refusal*, and keep nothing of it."""
        self._forget()
        self._refusal = refusal

    def refused_early(self, step: str) -> int:
        """Refuse at *step* if Postfix waits for an answer there, else at the end of the message."""
        if step == "negotiate":
            return Milter.REJECT  # ends the connection; Postfix says 451 (milter_default_action)
        if step in self.silent or not self._refusal:
            return Milter.CONTINUE
        return self._say(self._refusal)

    def _reset(self) -> None:
        self._refusal = None
        if self._admitted:
            self._admitted = False
            self._service.release()
        dropped, self._in_message = self._in_message, False
        if dropped and (queue_id := self.queue_id()):
            self._service.not_accepted(queue_id, self._address, self._since)
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
            log.error(message_log.unjudged(self.queue_id()))
            return
        log.info(message_log.line(message, verdict, self.queue_id()))


class UnixConnection(Connection):
    """For unix sockets: only DATA, the body and the end are answered, which is a fifth faster."""

    silent = Connection.silent | {"envfrom", "envrcpt", "header"}
    hello = Milter.noreply(Connection.hello)
    envfrom = Milter.noreply(Connection.envfrom)
    envrcpt = Milter.noreply(Connection.envrcpt)
    header = Milter.noreply(Connection.header)
    eoh = Milter.noreply(Connection.eoh)


class TcpConnection(Connection):
    """For TCP: every step is answered, also those of no interest.

    Postfix sends the macros of a step even where it may skip the command. What comes next
    waits 40 ms: Nagle's algorithm (RFC 896) wants the macros acknowledged, which a side
    with nothing to say delays.
    """

    def connect(self, hostname: str, family: int, hostaddr: Any) -> int:  # noqa: ARG002
        """Have this step negotiated, as `Connection.data`."""
        return Milter.CONTINUE


def prepare(service: Service, address: Address) -> None:
    """Set libmilter up to serve *address*; `serve` then runs it."""
    kind = UnixConnection if address.kind == "unix" else TcpConnection
    Milter.factory = lambda: kind(service)
    Milter.set_flags(ACTIONS)
    callback_errors.watch()
    Milter.set_exception_policy(Milter.CONTINUE)


def serve(address: Address) -> None:
    """Run libmilter until `stop`; not in the main thread, whose signals it would take.

    As `Milter.runmilter` does, but for the steps left out: what has no callback is
    answered with "continue" and never decoded.
    """
    milter.set_helo_callback(lambda context, name: context.getpriv().hello(name))
    milter.set_envfrom_callback(lambda context, *words: context.getpriv().envfrom_bytes(*words))
    milter.set_envrcpt_callback(lambda context, *words: context.getpriv().envrcpt_bytes(*words))
    milter.set_header_callback(
        lambda context, name, value: context.getpriv().header_bytes(name, value)
    )
    milter.set_eoh_callback(lambda context: context.getpriv().eoh())
    milter.set_body_callback(lambda context, piece: context.getpriv().body(piece))
    milter.set_eom_callback(lambda context: context.getpriv().eom())
    milter.set_abort_callback(lambda context: context.getpriv().abort())
    milter.set_close_callback(Milter.close_callback)
    milter.setconn(f"unix:{address.path}" if address.kind == "unix" else _inet(address))
    milter.register("gatepost", negotiate=Milter.negotiate_callback)
    milter.opensocket(True)  # remove the socket that an earlier process left
    milter.main()


def stop() -> None:
    """Let `serve` return. Takes up to three seconds."""
    Milter.stop()


def _inet(address: Address) -> str:
    family = "inet6" if ":" in address.host else "inet"
    return f"{family}:{address.port}@{address.host}"
