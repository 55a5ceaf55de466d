"""Every adapter keeps every promise of `tag_rewards.testing`."""

import pkgutil
from functools import partial

import pytest

import tag_rewards.integrations
from tag_rewards.integrations import ms_swift, trl
from tag_rewards.testing import TARGETS, RewardContract, from_batch, hacks_against
from tests.integrations import adapter_table

WITH_EVIDENCE = [target for target in TARGETS if target.evidence]


def broken(fn, **options):
    return [str(violation) for violation in RewardContract(fn, **options).violations()]


@pytest.mark.parametrize("name", adapter_table.ADAPTERS)
def test_every_adapter_keeps_every_promise(name):
    key = adapter_table.KEYS.get(name, "score")
    assert not broken(adapter_table.ADAPTERS[name], key=key)


def test_the_server_keeps_every_promise():
    assert not broken(adapter_table.server)


@pytest.mark.parametrize("component", ["format", "accuracy", "grounding"])
def test_the_functions_for_one_component_keep_every_promise(component):
    """Where there is no evidence, TRL is told to leave grounding out, by None."""
    function = getattr(trl, f"{component}_reward")
    reward = from_batch(partial(adapter_table.call_trl, function))
    assert not broken(reward, targets=WITH_EVIDENCE, hacks=hacks_against(component))
    orm = ms_swift.ORMS[f"tag_{component}"]()
    reward = from_batch(partial(adapter_table.call_trl, orm))
    assert not broken(reward, targets=WITH_EVIDENCE, hacks=hacks_against(component))


def test_no_adapter_is_forgotten():
    modules = {module.name for module in pkgutil.iter_modules(tag_rewards.integrations.__path__)}
    shared = {"decoded", "scorer"}
    assert modules - shared == {*adapter_table.ADAPTERS, "server"} - {"library", "trl_messages"}
