"""pytest plugin: the battery from the command line, and fixtures.

::

    pytest --reward-contract my_package.rewards:my_reward

makes a test of each promise of `tag_rewards.testing.PROMISES`. The name is that of a reward
function, or of a `RewardContract` where a reward needs other options. Without paths, nothing else
is collected.

pytest imports this module at the start of every run in an environment that has tag-rewards, so it
imports nothing of the library before it is used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tag_rewards.target import Target
    from tag_rewards.testing.battery import Battery
    from tag_rewards.testing.contract import RewardContract


@pytest.fixture
def tag_target() -> Target:
    """A target with three AUs, two of them in one place: the first of `TARGETS`."""
    from tag_rewards.testing.traces import TARGETS

    return TARGETS[0]


@pytest.fixture
def honest_trace(tag_target: Target) -> str:
    """The completion that earns most for `tag_target`."""
    from tag_rewards.testing.traces import honest_text

    return honest_text(tag_target)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--reward-contract`."""
    parser.getgroup("tag-rewards").addoption(
        "--reward-contract",
        action="append",
        default=[],
        metavar="MODULE:NAME",
        help="check that this reward function, or this tag_rewards.testing.RewardContract, keeps "
        "every promise; may be given several times",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Without paths, collect the contracts alone."""
    named = config.getoption("reward_contract")
    if named and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Add a test for each promise of each contract."""
    for name in session.config.getoption("reward_contract"):
        contract = ContractNode.from_parent(session, name=name, nodeid=name)
        report = session.ihook.pytest_make_collect_report(collector=contract)
        session.ihook.pytest_collectreport(report=report)
        items.extend(report.result)


class ContractNode(pytest.Collector):
    """A reward function that was named on the command line."""

    def collect(self) -> Iterator[PromiseItem]:
        """A test for each promise."""
        for promise in self.contract.promises:
            yield PromiseItem.from_parent(self, name=promise)

    @cached_property
    def contract(self) -> RewardContract:
        """What the name stands for.

        Raises:
            pytest.UsageError: it stands for nothing, or for no reward.
        """
        from tag_rewards.errors import InputError
        from tag_rewards.testing.contract import RewardContract

        module, colon, name = self.name.partition(":")
        found: Any = None
        try:
            found = _attribute(self.config.rootpath, module, name) if colon else None
        except (ImportError, AttributeError) as error:
            raise pytest.UsageError(f"--reward-contract {self.name}: {error}") from error
        if isinstance(found, RewardContract):
            return found
        try:
            return RewardContract(found)
        except InputError:
            raise pytest.UsageError(
                f"--reward-contract {self.name}: name a function or a RewardContract as MODULE:NAME"
            ) from None

    @cached_property
    def battery(self) -> Battery:
        """The function at work, shared by the tests of its promises."""
        battery = self.contract.battery()
        self.addfinalizer(battery.close)
        return battery


class PromiseItem(pytest.Item):
    """The test of one promise."""

    parent: ContractNode

    def runtest(self) -> None:
        """Check the promise.

        Raises:
            ContractViolation: It is broken.
        """
        from tag_rewards.testing.contract import ContractViolation

        violation = self.parent.contract.violation(self.name, self.parent.battery)
        if violation is not None:
            raise ContractViolation(self.parent.contract.fn, [violation])

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The message alone: the traceback of the battery says nothing of the function."""
        from tag_rewards.errors import InputError
        from tag_rewards.testing.contract import ContractViolation

        if isinstance(excinfo.value, (ContractViolation, InputError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The name of the function and of the promise."""
        return self.config.rootpath, None, f"{self.parent.name} {self.name}"


def _attribute(folder: Path, module: str, name: str) -> Any:
    """An attribute of a module that is installed or lies in `folder`."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # the processes of the battery inherit it
    return getattr(import_module(module), name)
