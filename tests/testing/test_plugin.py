"""The pytest plugin, in runs of pytest of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

HERE = Path(__file__).parent


@pytest.fixture
def run(pytester):
    """pytest in a folder with a module of rewards and a test, in a process of its own."""
    shutil.copy(HERE / "sample_rewards.py", pytester.path / "my_rewards.py")
    pytester.makepyfile(test_mine="def test_mine(): pass")

    def run(*arguments):
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)

    return run


def test_each_promise_is_a_test(run):
    result = run("--reward-contract", "my_rewards:our_score", "-v")
    result.assert_outcomes(passed=9)
    result.stdout.fnmatch_lines(["*my_rewards:our_score::never_raises PASSED*"])
    result.stdout.fnmatch_lines(["*my_rewards:our_score::bounded_time PASSED*"])


def test_a_broken_promise_is_reported_without_a_traceback(run):
    result = run("--reward-contract", "my_rewards:raises_on_none")
    result.assert_outcomes(passed=8, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*my_rewards:raises_on_none never_raises*",
            "never_raises: every completion gets a reward, None and broken text included",
            "    | None",
            "  result        AttributeError: 'NoneType' object has no attribute 'strip'",
            "FAILED my_rewards:raises_on_none::never_raises*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*def runtest*")


def test_a_contract_with_options_can_be_named(run, pytester):
    pytester.makepyfile(
        my_contract="from tag_rewards.testing import RewardContract\n"
        "from my_rewards import overall\n"
        "contract = RewardContract(overall, low=-1, key='overall', leave_out=['thread_safe'])\n"
    )
    run("--reward-contract", "my_contract:contract").assert_outcomes(passed=8)


def test_names_choose_promises_and_paths_are_collected_too(run):
    arguments = ("--reward-contract", "my_rewards:too_large", "test_mine.py")
    run(*arguments, "-k", "mine or range").assert_outcomes(passed=1, failed=1, deselected=8)


def test_several_contracts(run):
    result = run(
        *("--reward-contract", "my_rewards:good", "--reward-contract", "my_rewards:too_large"),
        *("-k", "range"),
    )
    result.assert_outcomes(passed=1, failed=1, deselected=16)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_rewards:nothing", "*module 'my_rewards' has no attribute 'nothing'*"),
        ("no_module:reward", "*No module named 'no_module'*"),
        ("my_rewards", "*name a function or a RewardContract as MODULE:NAME*"),
        ("my_rewards:HERE", "*has no attribute 'HERE'*"),
        ("my_rewards:_NUMBER", "*name a function or a RewardContract*"),
    ],
)
def test_a_wrong_name_is_an_error(run, name, message):
    result = run("--reward-contract", name)
    assert result.ret != 0
    (result.stdout if "Error" in result.stdout.str() else result.stderr).fnmatch_lines([message])


def test_without_the_option_nothing_is_added(run):
    run().assert_outcomes(passed=1)


def test_fixtures(run, pytester):
    pytester.makepyfile(
        test_fixtures="from tag_rewards import score\n"
        "def test_it(tag_target, honest_trace):\n"
        "    assert score(honest_trace, tag_target)['score'] == 1\n"
    )
    run("test_fixtures.py").assert_outcomes(passed=1)


def test_the_plugin_adds_nothing_to_the_start_of_pytest():
    """Beyond the package itself, which Python imports first."""
    code = (
        "import sys, pytest, tag_rewards; before = set(sys.modules);"
        "import tag_rewards.testing.plugin; print(*(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(run.stdout.split()) == {"tag_rewards.testing", "tag_rewards.testing.plugin"}
