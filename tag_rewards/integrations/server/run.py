"""Starting and ending the server's processes: their sockets, and HTTP/1.1 as uvicorn speaks it.

Every worker listens on a socket of its own, and what no ASGI app sees has bounds: a request that
dribbles, or whose head has no end. All processes end when the first one does, whatever ends it, and
log in one form.
"""

from __future__ import annotations

import gc
import json
import logging
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

import tag_rewards
from tag_rewards.errors import InputError, escaped
from tag_rewards.files.scratch import scratch_folder
from tag_rewards.integrations.server.app import create_app
from tag_rewards.integrations.server.config import ServerConfig
from tag_rewards.integrations.server.guard import log_access

if TYPE_CHECKING:
    import asyncio

    from fastapi import FastAPI

logger = logging.getLogger(__name__)

#: Longest request line with its headers, give or take one read from the socket.
MAX_HEAD_BYTES = 65_536


class BoundedProtocol(HttpToolsProtocol):
    """A connection that ends if a request does not arrive in time, or if its head is too long.

    `app.state.config` says how many seconds a request may take to arrive, and whether it is logged.
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
        self._clock = self.loop.call_later(self.app.state.config.timeout, self._too_late)

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
            if self.app.state.config.access_log:
                client = (self.client or ("-",))[0]
                log_access(client, "-", "-", int(status.split()[0]), reason)
        self.transport.close()


class OwnSocket(socket.socket):
    """A bound socket that arrives in another process as a new one at the same address.

    Workers that share one socket do not share the load: whichever wakes first accepts all waiting
    connections, and keeps them as long as the clients do. With a socket each (`SO_REUSEPORT`) the
    kernel deals the connections out.

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
#: Where their metrics are added up.
METRICS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
#: Seconds for which an idle connection stays open: longer than clients keep one for reuse.
KEEP_ALIVE = 75


class OneLine(logging.Formatter):
    """A record is a line of its own, whatever is quoted in it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line."""
        return escaped(super().formatMessage(record))


LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "()": OneLine,
            "format": "%(asctime)s tag-rewards[%(process)d] %(levelname)s %(message)s",
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "WARNING"},
    "loggers": {"tag_rewards": {"level": "INFO"}},
}
"""How every process of the server logs: on stderr, a line a record, with time and process."""


class Supervisor(Multiprocess):
    """Starts the workers, and another one for each that dies; says so.

    Ctrl+C reaches every process of a terminal. It is blocked before the first worker starts, and so
    in the workers too: only this process looks for it, and ends them when their requests under way
    are answered.
    """

    def run(self) -> None:
        """Until SIGINT or SIGTERM."""
        resource_tracker.ensure_running()  # when it is started, it ends the blocking of signals
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        super().run()
        if any(process.exitcode == STARTUP_FAILURE for process in self.processes):
            raise InputError("a worker could not start; its own message is above")

    def handle_signals(self) -> None:
        """Look for Ctrl+C, then for the others."""
        if signal.SIGINT in signal.sigpending():
            self.should_exit.set()
        super().handle_signals()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died; one that takes its time is left alone."""
        if self.should_exit.is_set():  # a signal to the whole group ends the workers, too
            return
        for index, process in enumerate(self.processes):
            if process.process.is_alive():
                continue
            if process.exitcode == STARTUP_FAILURE:
                self.should_exit.set()
                return
            self.processes[index] = successor = Process(self.config, self.sockets)
            successor.start()
            logger.warning("worker %s died; worker %s takes its place", process.pid, successor.pid)


def serve(config: ServerConfig) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are finished.

    Args:
        config: What to serve, and where.

    Raises:
        InputError: The address cannot be used, or the app cannot be made.
    """
    # With it in the environment, one worker's metrics would go into somebody else's folder.
    os.environ.pop(METRICS_VARIABLE, None)
    app = _ready_app(config)
    _require_free(config.host, config.port)
    host = f"[{config.host}]" if ":" in config.host else config.host
    print(
        f"tag-rewards {tag_rewards.__version__} on http://{host}:{config.port} with "
        f"{config.workers} worker(s){' and an API key' if config.api_key else ''}; "
        f"http://{host}:{config.port}/docs explains it, Ctrl+C ends it",
        file=sys.stderr,
        flush=True,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn ends by it, and raises it again when all is done, which is then nobody's business.
        signal.signal(number, lambda *_: None)
    if config.workers == 1:
        uvicorn.Server(_settings(config, app)).run()
    else:
        _serve_with_workers(config)
    logger.info("the server has ended")


def _serve_with_workers(config: ServerConfig) -> None:
    with scratch_folder() as folder:
        os.environ[METRICS_VARIABLE] = str(folder)
        os.environ[CONFIG_VARIABLE] = config.to_json()
        with OwnSocket(config.host, config.port) as own:
            settings = _settings(config, f"{__name__}:{app_of_worker.__name__}", factory=True)
            Supervisor(settings, sockets=[own]).run()


def _settings(config: ServerConfig, app: FastAPI | str, factory: bool = False) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=factory,
        host=config.host,
        port=config.port,
        workers=config.workers,
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=LOGGING,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(config.timeout),
    )


def app_of_worker() -> FastAPI:
    """The app of a worker, which ends with the process that started it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return _ready_app(ServerConfig.from_json(os.environ[CONFIG_VARIABLE]))


def _end_with_parent() -> None:
    """Wait for the parent's end, however it comes; then end as if it had said so."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "workers are started by multiprocessing"
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _ready_app(config: ServerConfig) -> FastAPI:
    # Imported by the first trace that needs it, it would keep a second's requests waiting.
    import scipy.optimize  # noqa: F401

    app = create_app(config)
    # A body can be a million lists. They are no garbage, and looking through all of them again and
    # again took six times as long as reading them, in which nobody else is served.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    return app


def _require_free(host: str, port: int) -> None:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise InputError(
            f"cannot listen on {host} port {port}: {error.strerror or error}; choose another "
            "--host or --port, or end what uses it"
        ) from None
