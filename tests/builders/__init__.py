"""What tests build their cases from: faces, traces, ledgers, results, engines and endpoints.

Tests import it by name, and so do the processes that they start, with `environment`.
"""

import os
from pathlib import Path

REPO = Path(__file__).parents[2]


def environment(**more):
    """The environment of a process that imports the tests' own modules, wherever it starts."""
    path = os.pathsep.join(filter(None, [str(REPO), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **more}
