"""Starting and ending the server's processes."""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
import tempfile
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.supervisors import Multiprocess

import tag_rewards
from tag_rewards.errors import InputError
from tag_rewards.integrations.server.config import ServerConfig
from tag_rewards.integrations.server.protocol import BoundedProtocol
from tag_rewards.integrations.server.sockets import OwnSocket

if TYPE_CHECKING:
    from types import FrameType

    from fastapi import FastAPI

__all__ = ["app_from_environment", "serve"]

#: The configuration for the workers, which are processes of their own.
CONFIG_VARIABLE = "TAG_REWARDS_SERVER"
#: Seconds for which an idle connection stays open: longer than clients keep one for reuse.
KEEP_ALIVE = 75


def serve(config: ServerConfig) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are finished.

    Args:
        config: what to serve, and where.

    Raises:
        InputError: the address cannot be used.
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
    signal.signal(signal.SIGTERM, _exit)
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


def _exit(signum: int, frame: FrameType | None) -> None:
    sys.exit(0)
