from typing import Any

class ResponseParser:
    def parse(self, stream: bytes) -> dict[str, Any]: ...
