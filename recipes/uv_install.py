"""`uv pip install` into this Python's environment, from where pip is configured to take packages.

    VENV/bin/python recipes/uv_install.py ARGUMENT...

uv does not read pip's configuration, its files and `PIP_*` variables, and would look in other
places than pip does. A setting that uv is not told of here ends this with 1, before anything is
installed. Needs nothing but pip, uv and the standard library.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys

# uv's name is pip's. Of several values pip makes one, with spaces or newlines between them.
_SAME = {"constraint", "extra-index-url", "find-links", "index-url", "trusted-host"}
# They do not decide what is installed.
_UNIMPORTANT = {
    "cache-dir", "cert", "config-file", "default-timeout", "disable-pip-version-check", "no-color",
    "no-input", "progress-bar", "quiet", "retries", "root-user-action", "timeout", "verbose",
}  # fmt: skip


def pip_settings(config: str) -> dict[str, str]:
    r"""What pip is told for `pip install`.

    Args:
        config: What `pip config list` prints.

    Examples:
        >>> pip_settings("global.find-links='/a'\n:env:.find-links='/b'\nfreeze.user='1'\n")
        {'find-links': '/b'}
    """
    settings: dict[str, str] = {}
    lines = [line.partition("=") for line in config.splitlines()]
    for section in ("global", "install", ":env:"):  # the later hold
        for key, _, value in lines:
            if key.startswith(section + "."):
                settings[key.rpartition(".")[2]] = ast.literal_eval(value)
    return settings


def uv_arguments(settings: dict[str, str]) -> list[str]:
    """Arguments of uv that mean the same.

    Raises:
        ValueError: One of them has no meaning here.

    Examples:
        >>> uv_arguments({"extra-index-url": "https://a.org/x https://b.org/x", "timeout": "9"})
        ['--extra-index-url=https://a.org/x', '--extra-index-url=https://b.org/x']
    """
    arguments = []
    for name, value in settings.items():
        if name in _SAME:
            arguments += [f"--{name}={one}" for one in value.split()]
        elif name == "no-cache-dir":
            arguments.append("--no-cache")
        elif name not in _UNIMPORTANT:
            raise ValueError(f"pip is configured with {name}={value}, of which uv is not told")
    return arguments


def main() -> None:
    """Become uv."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    settings = pip_settings(listed.stdout)
    try:
        arguments = uv_arguments(settings)
    except ValueError as error:
        sys.exit(f"not with uv: {error}")
    if "cert" in settings:
        os.environ["SSL_CERT_FILE"] = settings["cert"]
    uv = os.path.join(sys.prefix, "bin", "uv")
    # Of all indexes, as pip does; uv's own way is the first that knows a name.
    as_pip = ["--index-strategy=unsafe-best-match", *arguments]
    install = [uv, "pip", "install", f"--python={sys.executable}", "--no-progress"]
    os.execv(uv, [*install, *as_pip, *sys.argv[1:]])


if __name__ == "__main__":
    main()
