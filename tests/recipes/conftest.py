"""A tiny Qwen2.5-VL with random weights, and traces to train it on."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from omegaconf import DictConfig

REPO = Path(__file__).parents[2]
RECIPES = REPO / "recipes"


@pytest.fixture(scope="session")
def recipe() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script of recipes/ in this environment, without set-up; settings as keywords."""

    def run(
        script: str, *arguments: str, timeout: float = 400, **settings: object
    ) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "VENV": sys.prefix,
            "TAG_SETUP": "0",
            "TAG_DEVICE": "cpu",
            **{name: str(value) for name, value in settings.items()},
        }
        return subprocess.run(
            ["bash", str(RECIPES / script), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture(scope="session")
def compose_verl() -> Callable[..., DictConfig]:
    """A file of verl's configuration, or of `folder` over it, as hydra composes it."""
    hydra = pytest.importorskip("hydra")
    verl = importlib.util.find_spec("verl")
    if verl is None:
        pytest.skip("verl is not installed")
    own = Path(verl.origin).parent / "trainer" / "config"

    def compose(name: str, *overrides: str, folder: Path = own) -> DictConfig:
        with hydra.initialize_config_dir(str(folder), version_base=None):
            return hydra.compose(name, [f"hydra.searchpath=[file://{own}]", *overrides])

    return compose


@pytest.fixture(scope="session")
def composed(
    recipe: Callable[..., subprocess.CompletedProcess[str]],
    compose_verl: Callable[..., DictConfig],
) -> Callable[..., DictConfig]:
    """The configuration that verl gets from a script of recipes/ with these settings."""

    def compose(script: str, *arguments: str, **settings: object) -> DictConfig:
        run = recipe(script, *arguments, DRY_RUN=1, **settings)
        assert run.returncode == 0, run.stderr
        folder, name, *overrides = run.stdout.splitlines()
        folder, name = folder.removeprefix("--config-dir="), name.removeprefix("--config-name=")
        return compose_verl(name, *overrides, folder=Path(folder))

    return compose


PROMPT = "Which emotion does the face show? Name the Action Units and their boxes."
TRACE = (
    "Global analysis: a face in {colour}.\n"
    "Verification loop:\n"
    "Inspect mouth corners (AU12) → pulled up → <bbox>[{x},60,{y},80]</bbox>\n"
    "Final conclusion: AU12 is seen.\n"
    "<answer> happiness </answer>"
)


def _trace(index: int) -> str:
    return TRACE.format(colour=("red", "green", "blue")[index % 3], x=20 + index, y=60 + index)


@pytest.fixture(scope="session")
def tiny_vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of the embedded default's architecture with random weights."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    spec = importlib.util.spec_from_file_location(
        "tiny_vlm_architecture", RECIPES / "tiny_vlm" / "architecture.py"
    )
    architecture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(architecture)
    torch.manual_seed(0)
    processor = architecture.build_processor([PROMPT, *map(_trace, range(16))])
    config = architecture.build_config(processor.tokenizer)
    model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    folder = tmp_path_factory.mktemp("tiny_vlm")
    architecture.save(model, processor, folder)
    return folder


@pytest.fixture(scope="session")
def sft_parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sft_train.parquet (16 rows) and sft_test.parquet (8)."""
    pa = pytest.importorskip("pyarrow")
    image = pytest.importorskip("PIL.Image")
    import pyarrow.parquet as pq

    def row(index: int) -> dict[str, object]:
        picture = io.BytesIO()
        image.new("RGB", (112, 112), (90 * (index % 3), 40, 12 * index)).save(picture, "PNG")
        return {
            "messages": [
                {"role": "user", "content": "<image>" + PROMPT},
                {"role": "assistant", "content": _trace(index)},
            ],
            "images": [{"bytes": picture.getvalue()}],
        }

    folder = tmp_path_factory.mktemp("sft")
    for name, count in (("sft_train", 16), ("sft_test", 8)):
        pq.write_table(
            pa.Table.from_pylist([row(i) for i in range(count)]), folder / f"{name}.parquet"
        )
    return folder
