"""Images of our files are images to Hugging Face `datasets`, and to verl what they were."""

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from tag_rewards.prepare.rows import read_rl_parquet
from tests.builders.rows import RL, SFT, write

pytestmark = pytest.mark.stack

BASE = Path(__file__).parents[2] / "recipes" / "tiny_vlm" / "base"
NOISE = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
PNG = cv2.imencode(".png", NOISE)[1].tobytes()


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return datasets


@pytest.mark.parametrize("row", [replace(RL, image=PNG), replace(SFT, image=PNG)])
def test_datasets_knows_them(datasets, tmp_path, row):
    path = write(tmp_path / "rows.parquet", [row])
    rows = datasets.load_dataset("parquet", data_files=str(path), split="train")
    assert rows.features["images"] == datasets.List(datasets.Image(decode=False))
    assert rows[0]["images"] == [{"bytes": PNG, "path": None}]
    rows = rows.cast_column("images", datasets.List(datasets.Image()))
    assert (np.asarray(rows[0]["images"][0])[:, :, ::-1] == NOISE).all()
    assert "messages" in rows.features or rows[0]["prompt"][0]["content"] == row.prompt


def test_rewritten_by_datasets_they_are_read(datasets, tmp_path):
    rows = [replace(RL, image=PNG)]
    path = write(tmp_path / "rows.parquet", rows)
    datasets.Dataset.from_parquet(str(path)).to_parquet(str(path))
    assert list(read_rl_parquet(path)) == rows


def test_verl_shows_a_model_the_same(datasets, tmp_path):
    """With what the file says of its images and without, as up to version 0.1."""
    pytest.importorskip("verl")
    from omegaconf import OmegaConf
    from transformers import AutoProcessor
    from verl.utils.dataset.rl_dataset import RLHFDataset

    path = write(tmp_path / "now.parquet", [replace(RL, image=PNG)])
    plain = pq.read_table(path).replace_schema_metadata(None)
    pq.write_table(plain, tmp_path / "plain.parquet")
    processor = AutoProcessor.from_pretrained(BASE)

    def shown(path):
        # In this process: a fork of one that has run vLLM or torch can wait for a lock for ever.
        options = {"filter_overlong_prompts": True, "filter_overlong_prompts_workers": None}
        config = OmegaConf.create({**options, "cache_dir": str(tmp_path)})
        rows = RLHFDataset(str(path), processor.tokenizer, config, processor)
        messages = rows[0]["raw_prompt"]
        images, _ = RLHFDataset._process_multi_modal_info(messages, 14, config)[:2]
        file = io.BytesIO()
        images[0].save(file, "PNG")
        return [part["type"] for part in messages[0]["content"]], images[0].size, file.getvalue()

    assert shown(path) == shown(tmp_path / "plain.parquet")
