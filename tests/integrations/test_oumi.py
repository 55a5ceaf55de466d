"""Oumi's protocol: a function in its registry, put there by a file that Oumi is told to import.

Replayed from oumi 0.9: `oumi/core/registry/registry.py` (the files of `OUMI_EXTRA_DEPS_FILE` are
imported by their stem), `oumi/builders/rewards.py` (lookup, and `reward_function_kwargs`) and
`oumi/core/trainers/verl_grpo_trainer.py` (from verl 0.7 on the function's module and name go into
verl's configuration; before, verl's NaiveRewardManager got the function itself). verl's call is
that of its naive manager.
"""

import enum
import importlib
import inspect
import sys
from functools import wraps
from pathlib import Path
from types import ModuleType

import pytest

from tag_rewards import RewardConfig, score
from tag_rewards.integrations import oumi
from tag_rewards.integrations.verl import compute_score
from tests.integrations.protocol import TARGET, TEXT, TRUTH

REGISTERING_FILE = Path(__file__).parents[2] / "examples" / "oumi" / "register_tag_reward.py"
EXPECTED = score(TEXT, TARGET)
SAMPLE = {"data_source": "parquet", "solution_str": TEXT, "ground_truth": TRUTH, "extra_info": {}}


class RegistryType(enum.Enum):
    DATASET = enum.auto()
    REWARD_FUNCTION = enum.auto()


class Registry:
    """The registry, and how it imports what the user names."""

    def __init__(self):
        self.functions = {}

    def register(self, name, registry_type):
        def decorator(value):
            if (name, registry_type) in self.functions:
                raise ValueError(f"Registry: `{name}` is already registered")
            self.functions[name, registry_type] = value
            return value

        return decorator

    def load_user_requirements(self, requirements_file):
        for line in requirements_file.read_text().splitlines():
            path = Path(line.strip())
            sys.path.append(str(path.parent))
            importlib.import_module(path.stem)

    def build_reward_function(self, name, kwargs=None):
        function = self.functions[name, RegistryType.REWARD_FUNCTION]
        if not kwargs:
            return function

        @wraps(function)
        def wrapped(*args, **call_kwargs):
            return function(*args, **{**call_kwargs, **kwargs})

        return wrapped


@pytest.fixture
def registry(monkeypatch):
    made = Registry()
    contents = {
        "oumi": {},
        "oumi.core": {},
        "oumi.core.registry": {"RegistryType": RegistryType, "register": made.register},
    }
    for name, attributes in contents.items():
        module = ModuleType(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, REGISTERING_FILE.stem, raising=False)
    yield made
    sys.modules.pop(REGISTERING_FILE.stem, None)


@pytest.fixture
def registered(registry, tmp_path):
    requirements = tmp_path / "deps.txt"
    requirements.write_text(f"{REGISTERING_FILE}\n")
    registry.load_user_requirements(requirements)
    return registry


def test_the_examples_file_registers_verls_function(registered):
    function = registered.build_reward_function("tag")
    assert function is compute_score is oumi.compute_score
    assert function(**SAMPLE)["score"] == EXPECTED["score"]
    assert function(**SAMPLE)["acc"] == 1


def test_keyword_arguments_of_the_configuration_win(registered):
    options = {"format_weight": 0, "accuracy_weight": 0}
    function = registered.build_reward_function("tag", options)
    expected = score(TEXT, TARGET, RewardConfig.from_options(options))
    assert function(**SAMPLE)["score"] == expected["score"] != EXPECTED["score"]


@pytest.mark.parametrize("kwargs", [None, {"iou_floor": 0.3}])
def test_verl_finds_the_function_by_module_and_name(registered, kwargs):
    """What Oumi writes into `reward.custom_reward_function` for verl 0.7 and later."""
    function = registered.build_reward_function("tag", kwargs)
    module = importlib.import_module(inspect.getmodule(function).__name__)
    assert getattr(module, function.__name__) is compute_score


def test_registering_twice_is_oumis_error(registered):
    with pytest.raises(ValueError, match="already registered"):
        oumi.register()


def test_without_oumi_registering_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "oumi", None)
    with pytest.raises(ImportError, match="oumi"):
        oumi.register()


def test_oumis_own_registry(monkeypatch, tmp_path):
    own = pytest.importorskip("oumi.core.registry", exc_type=ImportError)
    requirements = tmp_path / "deps.txt"
    requirements.write_text(f"{REGISTERING_FILE}\n")
    monkeypatch.setenv("OUMI_EXTRA_DEPS_FILE", str(requirements))
    assert own.REGISTRY.get_reward_function("tag") is compute_score
