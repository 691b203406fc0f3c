"""A spamd with scripted behaviour, good and bad."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from config.units import Address
from tests.stack.ports import HOST

OK = b"SPAMD/1.1 0 EX_OK\r\nContent-length: 5\r\nSpam: True ; 7.5 / 5.0\r\n\r\nA_B,C"


@contextmanager
def server(behave: Callable[[socket.socket], None], path: Path | None = None) -> Iterator[Address]:
    """Listen, at *path* or on TCP, and let *behave* treat each connection in a thread."""
    if path is None:
        listener = socket.create_server((HOST, 0), backlog=200)
        address = Address("inet", host=HOST, port=listener.getsockname()[1])
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(200)
        address = Address("unix", path=str(path))

    def loop() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=treat, args=(connection,), daemon=True).start()

    def treat(connection: socket.socket) -> None:
        with connection:
            try:
                behave(connection)
            except OSError:
                return  # the client has gone, which is what some tests want

    threading.Thread(target=loop, daemon=True).start()
    try:
        yield address
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def read_all(connection: socket.socket) -> bytes:
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def answering(reply: bytes) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        read_all(connection)
        connection.sendall(reply)

    return behave


def silent(connection: socket.socket) -> None:
    read_all(connection)
    time.sleep(30)


def dripping(connection: socket.socket) -> None:
    for byte in OK:
        connection.sendall(bytes([byte]))
        time.sleep(0.2)


def endless(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 65536)


def resetting(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
