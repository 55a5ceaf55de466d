"""A program of the tests' own that is killed with signal 9."""

import signal
import subprocess
import sys

from tests.builders import environment


def killed(module, *arguments, after, note=lambda: None):
    """Run `python -m module` and kill it `after` so many seconds, unless it has ended by then.

    Returns:
        Whether the kill came in time, whether the program ended well all the same, and what
        `note()` said just before the kill.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    process = subprocess.Popen(command, env=environment())
    came, noted = False, None
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        came, noted = True, note()
        process.send_signal(signal.SIGKILL)
    assert process.wait() in ({0, -signal.SIGKILL} if came else {0})
    return came, process.returncode == 0, noted
