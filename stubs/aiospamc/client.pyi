from .connections import ConnectionManager
from .requests import Request
from .responses import Response

class Client:
    def __init__(self, connection_manager: ConnectionManager) -> None: ...
    async def request(self, req: Request) -> Response: ...
