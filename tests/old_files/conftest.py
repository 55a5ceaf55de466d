"""Files that an older version wrote, in a folder of their own where today's commands are run."""

import os
import shutil
from pathlib import Path

import pytest

from tests.builders.command import told_in

HERE = Path(__file__).parent


class Old:
    """A copy of what an older version wrote; commands are run in its folder."""

    def __init__(self, folder):
        self.folder = folder

    def __truediv__(self, name):
        return self.folder / name

    def run(self, *arguments):
        """Standard output of `tag-rewards ARGUMENTS`, which must go well."""
        return told_in(self.folder, *arguments)


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
