"""How properties are tried, what holds no doctest, and which tests one worker has together."""

import os
import signal

import pytest
from hypothesis import settings

# Enlarging a picture, OpenCV gives other last digits on another CPU. Read when it is imported.
os.environ.setdefault("OPENCV_IPP", "sse42")
# A shell has what it starts in the background ignore Ctrl+C, and so all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A deadline would make a busy machine fail.
settings.register_profile("full", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)  # the same examples for one commit
settings.register_profile("quick", deadline=None, max_examples=15)
settings.load_profile("ci" if os.environ.get("CI") else "full")

# What only the training stack can import; collecting it would need the stack.
collect_ignore = [
    f"tag_rewards/integrations/verl/{name}.py"
    for name in ("frozen_vision", "gdpo", "plugin", "reward_manager", "trainer")
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files stay whole, and one worker has all that starts a cluster or an engine.

    Two clusters at a time would make each other late.
    """
    if config.getoption("dist", "no") == "loadgroup":
        for item in items:
            group = "stack" if item.get_closest_marker("stack") else item.path.stem
            item.add_marker(pytest.mark.xdist_group(group))
