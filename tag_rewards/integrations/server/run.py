"""Starting and ending the server's processes: their sockets, and HTTP/1.1 as uvicorn speaks it.

Every worker listens on a socket of its own, and what no ASGI app sees has bounds: a request that
dribbles, or whose head has no end.
"""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import sys
import tempfile
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

import tag_rewards
from tag_rewards.errors import InputError
from tag_rewards.integrations.server.config import ServerConfig

if TYPE_CHECKING:
    import asyncio

    from fastapi import FastAPI


#: Longest request line with its headers, give or take one read from the socket.
MAX_HEAD_BYTES = 65_536


class BoundedProtocol(HttpToolsProtocol):
    """A connection that ends if a request does not arrive in time, or if its head is too long.

    The app says in `app.state.timeout` how many seconds a request may take to arrive.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clock: asyncio.TimerHandle | None = None
        self._in_head = False
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, and count what belongs to nothing but a head."""
        was_in_head = self._in_head
        super().data_received(data)
        if was_in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._end("431 Request Header Fields Too Large", "the headers are too long")

    def on_message_begin(self) -> None:
        """A request begins to arrive."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        self._start_clock()

    def on_headers_complete(self) -> None:
        """Its head is there, so that the app can see it."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is there."""
        self._stop_clock()
        super().on_message_complete()

    def _start_clock(self) -> None:
        self._stop_clock()
        self._clock = self.loop.call_later(self.app.state.timeout, self._too_late)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _too_late(self) -> None:
        self._end("408 Request Timeout", "the request did not arrive in time")

    def _end(self, status: str, reason: str) -> None:
        """Close the connection, with a word to whoever waits for a first one."""
        if self.transport.is_closing():
            return
        if self._in_head or (self.cycle is not None and not self.cycle.response_started):
            body = json.dumps({"detail": reason})
            self.transport.write(
                f"HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\n\r\n{body}".encode()
            )
        self.transport.close()


class OwnSocket(socket.socket):
    """A bound socket that arrives in another process as a new one at the same address.

    Workers that share one socket do not share the load: whichever wakes first accepts all waiting
    connections, and keeps them as long as the clients do. With a socket each (`SO_REUSEPORT`) the
    kernel deals the connections out.

    Args:
        host: Name or address to bind to.
        port: Port to bind to; 0 chooses a free one.

    Raises:
        OSError: The address cannot be used.

    Example:
        >>> import pickle
        >>> with OwnSocket("127.0.0.1", 0) as mine, pickle.loads(pickle.dumps(mine)) as theirs:
        ...     mine.getsockname() == theirs.getsockname(), mine.fileno() == theirs.fileno()
        (True, False)
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.bind((host, port))

    def __reduce__(self) -> tuple[type[OwnSocket], tuple[str, int]]:
        return OwnSocket, self.getsockname()[:2]


#: The configuration for the workers, which are processes of their own.
CONFIG_VARIABLE = "TAG_REWARDS_SERVER"
#: Seconds for which an idle connection stays open: longer than clients keep one for reuse.
KEEP_ALIVE = 75


def serve(config: ServerConfig) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are finished.

    Args:
        config: What to serve, and where.

    Raises:
        InputError: The address cannot be used.
    """
    _require_free(config.host, config.port)
    host = f"[{config.host}]" if ":" in config.host else config.host
    print(
        f"tag-rewards {tag_rewards.__version__} on http://{host}:{config.port} with "
        f"{config.workers} worker(s){' and an API key' if config.api_key else ''}; "
        f"http://{host}:{config.port}/docs explains it, Ctrl+C ends it",
        file=sys.stderr,
        flush=True,
    )
    # uvicorn raises the signal again when it is done, which would leave the folder behind.
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="tag-rewards-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        os.environ[CONFIG_VARIABLE] = config.to_json()
        settings = uvicorn.Config(
            "tag_rewards.integrations.server.run:app_from_environment",
            factory=True,
            host=config.host,
            port=config.port,
            workers=config.workers,
            loop="uvloop",
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=math.ceil(config.timeout),
        )
        if config.workers == 1:
            uvicorn.Server(settings).run()
        else:
            with OwnSocket(config.host, config.port) as own:
                Multiprocess(settings, sockets=[own]).run()


def app_from_environment() -> FastAPI:
    """The app of a worker."""
    # Imported by the first trace that needs it, it would keep a second's requests waiting.
    import scipy.optimize  # noqa: F401

    from tag_rewards.integrations.server.app import create_app

    return create_app(ServerConfig.from_json(os.environ[CONFIG_VARIABLE]))


def _require_free(host: str, port: int) -> None:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise InputError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; choose another "
            "--host or --port, or end what uses it"
        ) from None
