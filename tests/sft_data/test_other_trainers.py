"""What LLaMA-Factory and axolotl are given, by what their readers do with it.

Replayed from llamafactory 0.9.5 (`data/parser.py`, `DatasetAttr.join`; `data/converter.py`,
`SharegptDatasetConverter`; `data/mm_plugin.py`, `_validate_messages`, `_regularize_images`) and
axolotl 0.19.0 (`processing_strategies.py`, `ProcessingStrategy.__call__`). docs/traces.md says what
was run with the packages themselves.
"""

import base64
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tag_rewards.errors import InputError
from tag_rewards.sft_data import write_for_trainer
from tag_rewards.sft_data.conversations import ConversationFile
from tests.builders.command import command
from tests.sft_data.test_mix import PNG, conversation, write, write_table

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "First <image>, then <image>: which?"},
    {"role": "assistant", "content": "Fear. <bbox>[1,2,3,4]</bbox>"},
    {"role": "user", "content": "Sure?"},
    {"role": "assistant", "content": "Yes. 😀"},
]
IMAGES = [{"bytes": PNG + b"1"}, {"bytes": b"\xff\xd8\xff jpeg"}]


@pytest.fixture
def folder(tmp_path):
    write_table(tmp_path, [{"messages": TALK, "images": IMAGES}, conversation("user", "assistant")])
    write(tmp_path, 1, name="sft_test")
    return tmp_path


def rows_of(path):
    return [(row.messages, row.images) for row in ConversationFile(path)]


def read_as_llama_factory(folder, name):
    """Role and content of each turn, and the images, as its converter makes them of an entry."""
    entry = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))[name]
    tags, columns = entry["tags"], entry["columns"]
    assert entry["formatting"] == "sharegpt"
    for example in pq.read_table(folder / entry["file_name"]).to_pylist():
        turns = [
            (turn[tags["role_tag"]], turn[tags["content_tag"]])
            for turn in example[columns["messages"]]
        ]
        asked = turns[1:] if turns[0][0] == tags["system_tag"] else turns
        for place, (role, _) in enumerate(asked):
            assert role == tags[("user_tag", "assistant_tag")[place % 2]]
        images = example[columns["images"]]
        assert sum(text.count("<image>") for _, text in turns) == len(images)
        yield tuple(turns), tuple(image["bytes"] for image in images)


@pytest.mark.parametrize("split", ["train", "test"])
def test_llama_factory_finds_the_rows_of_both_files(folder, split):
    assert write_for_trainer(folder, "sharegpt") == [folder / "dataset_info.json"]
    read = list(read_as_llama_factory(folder, f"tag_{split}"))
    assert read == rows_of(folder / f"sft_{split}.parquet")


def test_other_entries_of_a_dataset_info_stay(folder):
    path = folder / "dataset_info.json"
    path.write_text('{"theirs": {"file_name": "a.json"}, "tag_test": {"file_name": "old"}}')
    (folder / "sft_test.parquet").unlink()
    write_for_trainer(folder, "sharegpt")
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written.keys() == {"theirs", "tag_train"}


def read_as_axolotl(path):
    """Turns with `<image>` where a part shows one, and the images, as its strategy has them."""
    # Through Arrow, which fills what a part lacks with None; axolotl takes the None out again.
    messages = pa.Table.from_pylist(
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    )["messages"]
    for row in messages.to_pylist():
        turns, images = [], []
        for message in row:
            text = ""
            for part in message["content"]:
                part = {key: value for key, value in part.items() if value is not None}
                if part["type"] == "image":
                    head, _, body = part["image"].partition(",")
                    assert head in {"data:image/png;base64", "data:image/jpeg;base64"}
                    images.append(base64.b64decode(body))
                    text += "<image>"
                else:
                    text += part["text"]
            turns.append((message["role"], text))
        yield tuple(turns), tuple(images)


@pytest.mark.parametrize("split", ["train", "test"])
def test_axolotl_reads_the_same_rows(folder, split):
    names = [folder / "messages_train.jsonl", folder / "messages_test.jsonl"]
    assert write_for_trainer(folder, "messages") == names
    read = list(read_as_axolotl(folder / f"messages_{split}.jsonl"))
    assert read == rows_of(folder / f"sft_{split}.parquet")


def test_a_split_that_is_gone_leaves_no_lines(folder):
    write_for_trainer(folder, "messages")
    (folder / "sft_test.parquet").unlink()
    assert write_for_trainer(folder, "messages") == [folder / "messages_train.jsonl"]
    assert not (folder / "messages_test.jsonl").exists()


def test_a_split_without_rows_is_left_out(folder):
    empty = pq.read_table(folder / "sft_test.parquet").slice(0, 0)
    pq.write_table(empty, folder / "sft_test.parquet")
    write_for_trainer(folder, "sharegpt")
    info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
    assert info.keys() == {"tag_train"}


@pytest.mark.parametrize("form", ["sharegpt", "messages"])
def test_a_row_that_cannot_be_trained_on_is_named_and_nothing_written(folder, form):
    write_table(folder, [conversation("user", "assistant", images=2)])
    with pytest.raises(InputError, match=r"row 0: field 'messages' has 1 times <image>, but .* 2"):
        write_for_trainer(folder, form)
    assert {path.name for path in folder.iterdir()} == {"sft_train.parquet", "sft_test.parquet"}


@pytest.mark.parametrize("form", ["sharegpt", "messages"])
def test_a_folder_without_sft_data_is_named(tmp_path, form):
    with pytest.raises(InputError, match=r"no sft_train\.parquet in it"):
        write_for_trainer(tmp_path, form)


def test_a_broken_dataset_info_is_named(folder):
    (folder / "dataset_info.json").write_text("[]")
    with pytest.raises(InputError, match=r"dataset_info\.json .*remove it"):
        write_for_trainer(folder, "sharegpt")


def test_the_command_takes_any_folder_with_sft_data(folder):
    told = command("traces", "export", folder, "--format", "messages")
    assert told == (0, f"Written to {folder}\n", "")
    assert (folder / "messages_train.jsonl").exists()


def test_ms_swift_takes_the_parquet_as_it_is(folder):
    """`datasets` gives it messages, and images that it decodes itself."""
    datasets = pytest.importorskip("datasets")
    write(folder, 2)
    row = datasets.Dataset.from_parquet(str(folder / "sft_train.parquet"))[0]
    assert row["messages"][0] == {"role": "user", "content": "<image>Which?"}
    assert io.BytesIO(row["images"][0]["bytes"]).read(4) == PNG[:4]
