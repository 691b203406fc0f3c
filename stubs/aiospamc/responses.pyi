from collections.abc import Mapping
from typing import Any

class Response:
    headers: Mapping[str, object]
    body: bytes
    def __init__(self, **parsed: Any) -> None: ...
    def raise_for_status(self) -> None: ...

class ResponseException(Exception): ...
