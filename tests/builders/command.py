"""`tag-rewards`, as it is typed."""

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

from tag_rewards.cli import main


def command(*arguments):
    """(exit code, standard output, standard error) of `tag-rewards`."""
    told, error = io.StringIO(), io.StringIO()
    code = 0
    with (
        mock.patch("sys.argv", ["tag-rewards", *map(str, arguments)]),
        mock.patch.dict(os.environ, {"COLUMNS": "200"}),
        redirect_stdout(told),
        redirect_stderr(error),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return code, told.getvalue(), error.getvalue()
