"""The rewards over HTTP, for stacks that call a reward by URL and for jobs on other machines.

::

    pip install "tag-rewards[server]"
    tag-rewards serve --port 8000 --workers 2

OpenRLHF: `--remote_rm_url http://HOST:8000/openrlhf`. slime: `--rm-type remote_rm
--rm-url http://HOST:8000/slime --reward-key score`. Anything else: `POST /score`, which
`http://HOST:8000/docs` explains.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tag_rewards.integrations.server.config import ServerConfig

if TYPE_CHECKING:
    from tag_rewards.integrations.server.app import create_app
    from tag_rewards.integrations.server.run import serve

__all__ = ["ServerConfig", "create_app", "serve"]


def __getattr__(name: str) -> Any:
    """Import what needs the extra `server` when it is asked for."""
    module = {"create_app": "app", "serve": "run"}.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{error.name} is not installed; pip install "tag-rewards[server]"', name=error.name
        ) from None
