"""Datasets are mixed by weight, row by row, and a row still says where it comes from."""

from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.errors import InputError
from tag_rewards.prepare.rows import ParquetRows, SFTRow, read_sft_parquet
from tag_rewards.sft_data.conversations import ConversationFile
from tag_rewards.sft_data.mix import WeightedDataset, repetitions, write_mixed

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x70\0\0\0\x70\x08"


def write(folder, count, source="template", name="sft_train"):
    folder.mkdir(parents=True, exist_ok=True)
    with ParquetRows(folder / f"{name}.parquet", SFTRow) as rows:
        for place in range(count):
            rows.write(
                SFTRow(
                    *("rafdb", "<image>Which?", PNG + bytes([place % 256]), f"trace {place}"),
                    *("fear", "train", place, f"{folder.name}-{place}", source),
                )
            )
    return folder / f"{name}.parquet"


def write_table(folder, rows):
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "sft_train.parquet")
    return folder / "sft_train.parquet"


def conversation(*roles, images=1, content="<image>Which?"):
    messages = [{"role": role, "content": f"{role} says"} for role in roles]
    messages[0]["content"] = content
    return {"messages": messages, "images": [{"bytes": PNG}] * images}


@pytest.mark.parametrize(
    ("text", "folder", "weight"),
    [
        ("built/traces", "built/traces", 1),
        ("built/traces:2", "built/traces", 2),
        ("/a/b:0.25", "/a/b", 0.25),
        ("odd:name", "odd:name", 1),
        ("odd:name:3", "odd:name", 3),
        (":2", ":2", 1),
    ],
)
def test_a_dataset_and_its_weight(text, folder, weight):
    assert WeightedDataset.parse(text) == WeightedDataset(Path(folder), weight)


@pytest.mark.parametrize("text", ["a:0", "a:-1", "a:nan", "a:inf"])
def test_a_weight_that_is_none(text):
    with pytest.raises(
        InputError, match=r"a: its weight is .*, not above 0; leave the dataset out"
    ):
        WeightedDataset.parse(text)


@given(
    n_rows=st.integers(0, 50),
    weight=st.floats(0.01, 5),
    left_out=st.lists(st.integers(0, 49), unique=True),
    seed=st.integers(0, 5),
)
def test_repetitions_are_as_even_as_can_be(n_rows, weight, left_out, seed):
    left_out = [row for row in left_out if row < n_rows]
    times = repetitions(n_rows, weight, left_out, np.random.default_rng(seed))
    assert (times[left_out] == 0).all()
    kept = np.delete(times, left_out)
    assert abs(times.sum() - weight * len(kept)) <= 0.5
    assert not len(kept) or kept.max() - kept.min() <= 1
    again = repetitions(n_rows, weight, left_out, np.random.default_rng(seed))
    assert (times == again).all()


def test_rows_come_as_often_as_said_and_keep_their_columns(tmp_path):
    # More rows than are read at a time.
    paths = [write(tmp_path / "a", 300, "blind:vlm"), write(tmp_path / "b", 5)]
    files = [ConversationFile(path) for path in paths]
    times = [repetitions(300, 2, [7], np.random.default_rng(0)), np.array([1, 0, 3, 1, 1])]
    seen = []
    written = write_mixed(
        tmp_path / "mixed.parquet", list(zip(files, times, strict=True)), "train", seen.append
    )
    rows = list(read_sft_parquet(tmp_path / "mixed.parquet"))
    assert written == len(rows) == 598 + 6
    assert sum(seen) == 305
    assert [row.index for row in rows] == list(range(604))
    counts = Counter(row.id for row in rows)
    assert counts["a-0"] == 2
    assert "a-7" not in counts
    assert counts["b-2"] == 3
    assert Counter(row.trace_source for row in rows) == {"blind:vlm": 598, "template": 6}
    by_id = {row.id: row for path in paths for row in read_sft_parquet(path)}
    for row in rows:
        original = by_id[row.id]
        assert (row.trace, row.image, row.label) == (original.trace, original.image, original.label)


def test_columns_that_others_lack_are_filled(tmp_path):
    path = write_table(tmp_path / "chat", [conversation("user", "assistant")] * 3)
    write_mixed(tmp_path / "mixed.parquet", [(ConversationFile(path), np.ones(3, int))], "train")
    rows = list(read_sft_parquet(tmp_path / "mixed.parquet"))
    assert {(row.trace_source, row.data_source, row.split) for row in rows} == {
        ("chat", "chat", "train")
    }


@pytest.mark.parametrize(
    "row",
    [
        conversation("user", "assistant"),
        conversation("user", "assistant", "user", "assistant"),
        conversation("system", "user", "assistant", content="Be exact: <image>"),
        conversation("user", "assistant", images=2, content="<image><image>Same?"),
    ],
)
def test_conversations_of_any_length_are_read(tmp_path, row):
    [read] = ConversationFile(write_table(tmp_path / "a", [row]))
    assert [role for role, _ in read.messages] == [m["role"] for m in row["messages"]]
    assert len(read.images) == len(row["images"])


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (conversation("user"), r"has the roles \['user'\]"),
        (conversation("assistant", "user"), "has the roles"),
        (conversation("user", "assistant", "user"), "has the roles"),
        (conversation("user", "assistant", content=""), "has a message without content"),
        (conversation("user", "assistant", content="Which?"), "has 0 times <image>, but .* has 1"),
        (conversation("user", "assistant", content="<image>" * 2), "has 2 times <image>"),
        (conversation("user", "assistant", content="<video>"), "has <video>"),
        (conversation("user", "assistant") | {"images": None}, "field 'images' is missing"),
        (conversation("user", "assistant") | {"images": [{"bytes": b""}]}, "without bytes"),
    ],
)
def test_a_row_that_verl_would_stumble_over_is_named(tmp_path, row, sentence):
    path = write_table(tmp_path / "a", [conversation("user", "assistant"), row])
    with pytest.raises(InputError, match=rf"sft_train.parquet: row 1: .*{sentence}"):
        list(ConversationFile(path))


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"messages": ["hello"], "images": [[]]}, "column 'messages' is string, not list"),
        ({"messages": [[]]}, "has no column 'images'; it has messages"),
    ],
)
def test_a_file_of_other_columns_is_told(tmp_path, table, sentence):
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=sentence):
        list(ConversationFile(tmp_path / "a.parquet"))


def test_no_parquet_file_is_told(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match=r"a\.parquet is not a parquet file"):
        ConversationFile(tmp_path / "a.parquet")


def test_the_content_hash_is_of_messages_and_images_alone(tmp_path):
    def digest(path):
        content = sha256()
        for row in ConversationFile(path):
            row.update(content)
        return content.hexdigest()

    path = write(tmp_path / "a", 5)
    copy = tmp_path / "copy.parquet"
    pq.write_table(pq.read_table(path), copy, compression="zstd", row_group_size=2)
    assert digest(copy) == digest(path)
    other = write(tmp_path / "a", 6)
    assert digest(other) != digest(copy)
