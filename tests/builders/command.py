"""`tag-rewards`, as it is typed."""

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest
import typer

from tag_rewards.cli import app, main


def command(*arguments, columns=200):
    """(exit code, standard output, standard error) of `tag-rewards`, in so wide a terminal."""
    told, error = io.StringIO(), io.StringIO()
    with (
        mock.patch("sys.argv", ["tag-rewards", *map(str, arguments)]),
        mock.patch.dict(os.environ, {"COLUMNS": str(columns), "NO_COLOR": "1"}),
        redirect_stdout(told),
        redirect_stderr(error),
        pytest.raises(SystemExit) as end,
    ):
        main()
    return end.value.code or 0, told.getvalue(), error.getvalue()


def told_in(folder, *arguments, columns=200):
    """Standard output of `tag-rewards ARGUMENTS` in a folder, which must go well."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        code, told, error = command(*arguments, columns=columns)
    finally:
        os.chdir(before)
    if code:
        pytest.fail(f"tag-rewards {' '.join(map(str, arguments))}: {error}")
    return told


def every_command():
    """The group of all commands, each imported."""
    group = typer.main.get_command(app)
    for name in [*group.commands]:
        group.load(name)
    return group
