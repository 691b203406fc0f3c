from collections.abc import Mapping

class Response:
    headers: Mapping[str, object]
    body: bytes

class ResponseException(Exception): ...
