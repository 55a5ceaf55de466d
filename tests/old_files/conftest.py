"""Files that an older version wrote, in a folder of their own where today's commands are run."""

import io
import os
import shutil
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

import pytest

from tag_rewards.cli import main

HERE = Path(__file__).parent


class Old:
    """A copy of what an older version wrote; commands are run in its folder."""

    def __init__(self, folder):
        self.folder = folder

    def __truediv__(self, name):
        return self.folder / name

    def run(self, *arguments):
        """Standard output of `tag-rewards ARGUMENTS`, which must go well."""
        told, error = io.StringIO(), io.StringIO()
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            with (
                mock.patch("sys.argv", ["tag-rewards", *map(str, arguments)]),
                mock.patch.dict(os.environ, {"COLUMNS": "200", "NO_COLOR": "1"}),
                redirect_stdout(told),
                redirect_stderr(error),
            ):
                main()
        except SystemExit as end:
            if end.code:
                pytest.fail(f"tag-rewards {' '.join(map(str, arguments))}: {error.getvalue()}")
        finally:
            os.chdir(before)
        return told.getvalue()


@pytest.fixture(params=sorted(path.name for path in HERE.glob("[0-9]*")))
def old(request, tmp_path):
    """What each version wrote; files that hold absolute paths hold those of the copy.

    By the times of its CSV files the detector `openface-csv` knows whether they changed.
    """
    folder = tmp_path / "old"
    shutil.copytree(HERE / request.param, folder)
    for name in ("built/build.json", "evidence/evidence.json"):
        path = folder / name
        path.write_text(path.read_text().replace("ROOT", str(folder)))
    for path in (folder / "faces" / "openface").iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return Old(folder)
