"""What authd answers: HTTP requests in, status and fields out. Knows nothing of sockets.

Asked by `dovecot_auth.checkpassword` and ``passdb.lua``:

    POST /verify  user, password, service, remote   200 fields · 401 refused · 429 blocked
    POST /user    user, service                     200 fields · 404 unknown account
    GET  /health                                    200
    anything from a user who may not ask            403, see `dovecot_auth.connections`

503 means "try later": the store is unavailable, too many requests wait, a hash is
unusable, or there is a bug (with its traceback in the log). Trusts its peers: they may
claim any remote address, and so may guess.
"""

import logging

from config.daemon.events import event
from dovecot_auth.check import Checker
from dovecot_auth.http import ProtocolError, Request, form
from dovecot_auth.verdict import Allowed, Blocked, Login
from dovecot_auth.verify import Verifier
from dovecot_auth.worker_pool import Late
from store.errors import StoreUnavailable
from store.logins.schemes import UnknownScheme

log = logging.getLogger(__name__)

Response = tuple[int, dict[str, str]]
TRY_LATER: Response = 503, {"reason": "try later"}


class Service:
    """Answers requests. One a process, shared by all listeners."""

    def __init__(self, checker: Checker) -> None:
        """Answer from *checker*."""
        self._verifier = Verifier(checker)

    async def answer(self, request: Request) -> Response:
        """Return status and fields for one request. Raises only `ProtocolError`."""
        try:
            match request.method, request.path:
                case "POST", "/verify":
                    return await self._verify(form(request.body))
                case "POST", "/user":
                    return await self._look_up(form(request.body))
                case "GET", "/health":
                    return 200, {"status": "ok", "waiting": str(self._verifier.waiting)}
                case _:
                    return 400, {"reason": "unknown request"}
        except ProtocolError:
            raise
        except (StoreUnavailable, Late) as error:
            log.warning(event("try-later", path=request.path, reason=error))
        except UnknownScheme as error:  # an operator must set a new password
            line = event("hash-unusable", path=request.path, reason=error)
            log.error(line)  # noqa: TRY400 - no bug to trace
        except Exception:  # the edge: a bug must be "try later", never "wrong password"
            log.exception(event("bug", at=request.path))
        return TRY_LATER

    async def close(self) -> None:
        """Finish what runs in the background and stop the threads."""
        await self._verifier.close()

    async def _verify(self, values: dict[str, str]) -> Response:
        login = Login(
            user=_required(values, "user"),
            password=_required(values, "password"),
            service=values.get("service", ""),
            remote=values.get("remote", ""),
        )
        match await self._verifier.verify(login):
            case Allowed() as account:
                return 200, account.fields()
            case Blocked():
                return 429, {"reason": "too many wrong passwords"}
            case None:
                return 401, {"reason": "refused"}

    async def _look_up(self, values: dict[str, str]) -> Response:
        account = await self._verifier.lookup(_required(values, "user"))
        return (200, account.fields()) if account else (404, {"reason": "unknown account"})


def _required(values: dict[str, str], name: str) -> str:
    if name not in values:
        raise ProtocolError(f"no {name} in the form")
    return values[name]
