"""What SFT trains on: lengths are verl's own, too long ones are told, other data is refused."""

import io
import json
import shutil
from pathlib import Path

import pytest

from tag_rewards.errors import InputError
from tag_rewards.prepare.rows import ParquetRows, SFTRow, read_sft_parquet
from tag_rewards.sft_data.mix import WeightedDataset

pytestmark = pytest.mark.stack

BASE = Path(__file__).parents[2] / "recipes" / "tiny_vlm" / "base"
SIZES = ((112, 112), (112, 60), (300, 112), (20, 40), (113, 111))


# As the template of Qwen2.5-VL begins: where there is no system message, it adds one.
SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}"
)


@pytest.fixture(scope="module", autouse=True)
def transformers():
    pytest.importorskip("verl")
    return pytest.importorskip("transformers")


def picture(size, kind="PNG"):
    from PIL import Image

    data = io.BytesIO()
    Image.new("RGB", size, (90, 40, 200)).save(data, kind)
    return data.getvalue()


@pytest.fixture
def dataset(tmp_path):
    """Writes a folder with traces of so many words, each with an image of another size."""

    def write(name, words, test_words=()):
        folder = tmp_path / name
        folder.mkdir()
        for split, lengths in (("train", words), ("test", test_words)):
            with ParquetRows(folder / f"sft_{split}.parquet", SFTRow) as rows:
                for place, length in enumerate(lengths):
                    kind = ("PNG", "JPEG", "WEBP")[place % 3]
                    image = picture(SIZES[place % len(SIZES)], kind)
                    trace = " ".join(["smile"] * length)
                    rows.write(
                        SFTRow(
                            *(name, "<image>Which expression?", image, trace, "happiness", split),
                            *(place, f"{name}-{place}", f"blind:{name}"),
                        )
                    )
        return WeightedDataset(folder)

    return write


def prepared(datasets, out, max_length=4096, **options):
    from tag_rewards.sft_data.mix import SFTDataConfig, prepare_sft_data

    return prepare_sft_data(datasets, out, SFTDataConfig(str(BASE), max_length, **options))


def rows_of(out, split="train"):
    return list(read_sft_parquet(out / f"sft_{split}.parquet"))


@pytest.mark.parametrize("system", ["", SYSTEM], ids=["tiny", "with a system message"])
def test_lengths_are_those_of_verls_dataset(transformers, dataset, tmp_path, system):
    """Images of several sizes and formats, one turn and two, with and without an image."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

    from tag_rewards.sft_data.conversations import ConversationFile, SequenceLengths

    model = tmp_path / "model"
    shutil.copytree(BASE, model, ignore=shutil.ignore_patterns("*.safetensors"))
    template = (BASE / "chat_template.jinja").read_text()
    (model / "chat_template.jinja").write_text(system + template)
    processor = transformers.AutoProcessor.from_pretrained(model)
    assert processor.chat_template.startswith(system)

    table = pq.read_table(dataset("some", range(1, 11)).folder / "sft_train.parquet")
    rows = [
        {"messages": row["messages"], "images": row["images"]}
        for row in table.select(["messages", "images"]).to_pylist()
    ]
    more = [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes."}]
    rows.append({"messages": rows[0]["messages"] + more, "images": rows[0]["images"]})
    rows.append({"messages": more, "images": []})
    pair = [{"role": "user", "content": "<image> and <image>: same?"}, more[1]]
    rows.append({"messages": pair, "images": rows[0]["images"] + rows[2]["images"]})
    path = tmp_path / "mixed.parquet"
    pq.write_table(
        pa.Table.from_pylist(rows, schema=table.select(["messages", "images"]).schema), path
    )

    conversations = list(ConversationFile(path))
    ours = SequenceLengths(str(model))(conversations)
    verls = MultiTurnSFTDataset(
        str(path),
        processor.tokenizer,
        {"pad_mode": "no_padding", "truncation": "error", "max_length": 4096},
        processor,
    )
    assert ours == [len(verls[place]["input_ids"]) for place in range(len(rows))]
    assert len(set(ours)) > 8


def test_too_long_traces_are_told_before_the_training(dataset, tmp_path):
    data = dataset("long", [3, 400, 5, 700])
    message = (
        r"sft_train\.parquet: 2 of 4 sequences are longer than MAX_LENGTH=300 tokens, the longest, "
        r"row 3 \(id 'long-3'\), has (\d+): set MAX_LENGTH=\1 .* or DROP_LONG=1 to leave them out"
    )
    with pytest.raises(InputError, match=message):
        prepared([data], tmp_path / "out", max_length=300)
    assert not (tmp_path / "out").exists()


def test_too_long_traces_can_be_left_out(dataset, tmp_path):
    data = dataset("long", [3, 400, 5, 700], [4, 500])
    summary = prepared([data], tmp_path / "out", max_length=300, drop_long=True)
    assert [row.id for row in rows_of(tmp_path / "out")] == ["long-0", "long-2"]
    assert [row.id for row in rows_of(tmp_path / "out", "test")] == ["long-0"]
    [train] = summary["train"]
    assert (train["rows"], train["too_long_left_out"], train["rows_in_an_epoch"]) == (4, 2, 2)


def test_a_single_dataset_is_linked_to_and_may_move(dataset, tmp_path):
    data, out = dataset("one", [3, 4, 5], [3]), tmp_path / "out"
    first = prepared([data], out)
    assert (out / "sft_train.parquet").is_symlink()
    assert (out / "sft_test.parquet").is_symlink()
    assert json.loads((out / "sft_data.json").read_text()) == first
    assert first["train"][0]["longest"] > first["train"][0]["mean"]
    moved = WeightedDataset(tmp_path / "elsewhere")
    data.folder.rename(moved.folder)
    prepared([moved], out)
    assert len(rows_of(out)) == 3


def test_datasets_are_mixed_by_weight(dataset, tmp_path):
    a, b = dataset("a", [3] * 10, [3] * 2), dataset("b", [4] * 8, [4])
    mixed = [WeightedDataset(a.folder, 2), WeightedDataset(b.folder, 0.5)]
    out = tmp_path / "out"
    prepared(mixed, out)
    sources = [row.trace_source for row in rows_of(out)]
    assert (sources.count("blind:a"), sources.count("blind:b")) == (20, 4)
    # Test rows measure and are not weighted.
    assert len(rows_of(out, "test")) == 3
    before = (out / "sft_train.parquet").stat().st_mtime_ns
    prepared(mixed, out)
    assert (out / "sft_train.parquet").stat().st_mtime_ns == before
    first = (out / "sft_train.parquet").read_bytes()
    shutil.rmtree(out)
    prepared(mixed, out)
    assert (out / "sft_train.parquet").read_bytes() == first


@pytest.mark.parametrize("change", ["content", "weight", "seed", "dataset", "order"])
def test_other_data_in_the_same_folder_is_refused(dataset, tmp_path, change):
    a, b, out = dataset("a", [3] * 10), dataset("b", [4] * 8), tmp_path / "out"
    mixed = [WeightedDataset(a.folder, 1.5), b]
    prepared(mixed, out)
    options = {}
    if change == "content":
        with ParquetRows(a.folder / "sft_train.parquet", SFTRow) as rows:
            rows.write(SFTRow("a", "<image>?", picture((28, 28)), "x", "fear", "train", 0, "a-0"))
    elif change == "weight":
        mixed[1] = WeightedDataset(b.folder, 2)
    elif change == "seed":
        options["seed"] = 1
    elif change == "dataset":
        mixed = [b]
    else:
        mixed = mixed[::-1]
    with pytest.raises(InputError, match=r"out holds other data than is asked for now: .*a:1\.5"):
        prepared(mixed, out, **options)
    assert len(rows_of(out)) == 23


def test_a_dataset_without_a_training_file_is_told(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: no sft_train\.parquet in it"):
        prepared([WeightedDataset(tmp_path / "nowhere")], tmp_path / "out")


def test_an_image_that_cannot_be_read_is_named(dataset, tmp_path):
    data = dataset("bad", [3])
    with ParquetRows(data.folder / "sft_train.parquet", SFTRow) as rows:
        rows.write(SFTRow("a", "<image>?", b"no image", "x", "fear", "train", 0, "a-0"))
    with pytest.raises(InputError, match=r"row 0 \(id 'a-0'\): field 'images' has an image that"):
        prepared([data], tmp_path / "out")


@pytest.mark.parametrize("model", ["nothing", "text_only"])
def test_a_model_without_a_processor_is_told(tmp_path, model, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from tag_rewards.sft_data.conversations import SequenceLengths

    folder = tmp_path / model
    folder.mkdir()
    if model == "text_only":
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(BASE / name, folder)
        (folder / "config.json").write_text('{"model_type": "qwen2"}')
    with pytest.raises(InputError, match=f"{model}.*give .*a vision-language model"):
        SequenceLengths(str(folder))


def test_the_command_says_what_is_trained_on(dataset, tmp_path):
    from typer.testing import CliRunner

    from tag_rewards.cli import app

    a, b = dataset("a", [3] * 10, [3]), dataset("b", [4] * 8)
    out = tmp_path / "out"
    options = ["--out", str(out), "--model", str(BASE), "--max-length", "200"]
    run = CliRunner().invoke(app, ["sft-data", f"{a.folder}:2", f"{b.folder}:0.25", *options])
    assert run.exit_code == 0, run.output
    assert f"train: {a.folder}/sft_train.parquet x 2: 20 rows in an epoch of 10; " in run.output
    assert f"train: {b.folder}/sft_train.parquet x 0.25: 2 rows in an epoch of 8; " in run.output
    assert f"test: {a.folder}/sft_test.parquet x 1: 1 rows in an epoch; " in run.output
    assert len(rows_of(out)) == 22
    run = CliRunner().invoke(app, ["sft-data", str(a.folder), *options, "--seed", "-1"])
    assert isinstance(run.exception, InputError)
    assert "seed is -1, not 0 or more" in str(run.exception)
