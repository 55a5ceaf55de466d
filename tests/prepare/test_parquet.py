"""Parquet files: what is written is read, and what is wrong is named with file, row and field."""

from dataclasses import replace

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tag_rewards.files.images import image_size
from tag_rewards.files.objects import ParquetError
from tag_rewards.geometry import BoxSpace
from tag_rewards.prepare.rows import (
    RL_SCHEMA,
    SFT_SCHEMA,
    ParquetRows,
    RLRow,
    read_rl_parquet,
    read_sft_parquet,
    with_pictures,
)
from tests.builders.rows import RL, SFT, TARGET, write


@pytest.mark.parametrize(
    ("row", "read", "schema"),
    [(RL, read_rl_parquet, RL_SCHEMA), (SFT, read_sft_parquet, SFT_SCHEMA)],
)
def test_rows_come_back_in_order_over_several_row_groups(tmp_path, row, read, schema):
    rows = [replace(row, index=index, id=f"train_{index}") for index in range(300)]
    path = write(tmp_path / "rows.parquet", rows)
    assert list(read(path)) == rows
    assert pq.read_schema(path).equals(with_pictures(schema))
    assert pq.ParquetFile(path).num_row_groups == 3


def test_records_have_the_columns_that_verl_reads():
    record = RL.to_record()
    assert record["prompt"] == [{"role": "user", "content": "<image>Which?"}]
    assert record["images"] == [{"bytes": b"png"}]
    assert record["reward_model"] == {"style": "rule", "ground_truth": TARGET.to_json()}
    assert [message["role"] for message in SFT.to_record()["messages"]] == ["user", "assistant"]


def test_an_empty_file_has_no_rows(tmp_path):
    with ParquetRows(tmp_path / "rl.parquet", RLRow):
        pass
    assert list(read_rl_parquet(tmp_path / "rl.parquet")) == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (replace(RL, prompt="Which?"), r"field 'prompt' has \[0\] times <image>"),
        (replace(RL, prompt="<image><image>"), r"field 'prompt' has \[2\] times <image>"),
        (replace(RL, image=b""), "field 'images'"),
        (replace(RL, split=None), "field 'extra_info.split' is missing"),
        (replace(SFT, trace="a <image> b"), r"field 'messages' has \[1, 1\] times <image>"),
        (replace(SFT, label=None), "field 'label' is missing"),
    ],
)
def test_a_wrong_row_is_not_written(tmp_path, row, message):
    path = tmp_path / "rows.parquet"
    with (
        pytest.raises(ParquetError, match=f"rows.parquet: row 0: {message}"),
        ParquetRows(path, type(row)) as file,
    ):
        file.write(row)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_boxes_in_pixels_of_another_image_are_refused(tmp_path, suffix):
    image = cv2.imencode(suffix, np.zeros((56, 112, 3), np.uint8))[1].tobytes()
    fits = replace(RL, image=image, target=replace(TARGET, box_space=BoxSpace.pixels(112, 56)))
    free = replace(RL, image=image, target=replace(TARGET, box_space=BoxSpace.normalized_1000()))
    path = write(tmp_path / "rl.parquet", [fits, free])
    assert len(list(read_rl_parquet(path))) == 2
    if suffix != ".webp":  # its size is not looked up
        message = "ground_truth': box_space is pixels of 112 x 112, but the image .* has 112 x 56"
        with pytest.raises(ParquetError, match=message):
            write(tmp_path / "rl.parquet", [replace(RL, image=image)])


@pytest.mark.parametrize("flags", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]])
def test_the_size_of_a_jpeg_is_in_its_header(flags):
    data = cv2.imencode(".jpg", np.zeros((30, 50, 3), np.uint8), flags)[1].tobytes()
    assert image_size(data) == (50, 30)
    assert image_size(data[:2] + b"\xff\xe1\0\x04ab" + b"\xff" + data[2:]) == (50, 30)
    assert [image_size(data[:length]) for length in (0, 2, 3, 20)] == [None] * 4
    assert image_size(b"\xff\xd8" + b"\xff" * 100) is None


def edited(path, edit, schema=RL_SCHEMA):
    """An RL file of two rows whose second record went through `edit`."""
    good, bad = RL.to_record(), RL.to_record()
    edit(bad)
    pq.write_table(pa.Table.from_pylist([good, bad], schema=schema), path)
    return path


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda r: r.update(data_source=None), "row 1: field 'data_source' is missing"),
        (lambda r: r.update(images=[]), "row 1: field 'images' has 0 images"),
        (lambda r: r.update(images=[{"bytes": None}]), r"row 1: field 'images\[0\].bytes' is miss"),
        (
            lambda r: r["prompt"][0].update(role="system"),
            r"row 1: field 'prompt' has the roles \['system'\], not \['user'\]",
        ),
        (
            lambda r: r["reward_model"].update(ground_truth="sadness"),
            "row 1: field 'reward_model.ground_truth': a target is a JSON object",
        ),
        (
            lambda r: r["reward_model"].update(
                ground_truth=TARGET.to_json().replace('"fear"', '"dread"')
            ),
            "row 1: field 'reward_model.ground_truth': label: 'dread' is not an expression",
        ),
        (
            lambda r: r["reward_model"].update(
                ground_truth=TARGET.to_json().replace("40]", "140]")
            ),
            r"row 1: field 'reward_model.ground_truth': evidence\[0\].box: .* leaves the box space",
        ),
    ],
)
def test_a_wrong_value_is_named_with_file_row_and_field(tmp_path, edit, message):
    path = edited(tmp_path / "rl.parquet", edit)
    rows = read_rl_parquet(path)
    assert next(rows) == RL
    with pytest.raises(ParquetError, match=message) as caught:
        next(rows)
    assert str(caught.value).startswith(str(path))


def test_a_missing_column_is_named(tmp_path):
    fields = [field for field in RL_SCHEMA if field.name != "images"]
    path = edited(tmp_path / "rl.parquet", lambda r: r.pop("images"), pa.schema(fields))
    with pytest.raises(ParquetError, match="has no column 'images'; it has data_source, prompt"):
        next(read_rl_parquet(path))


def test_a_column_of_another_type_is_named(tmp_path):
    path = tmp_path / "rl.parquet"
    pq.write_table(pa.table({name: [1] for name in RL_SCHEMA.names}), path)
    with pytest.raises(ParquetError, match="column 'data_source' is int64, not string"):
        next(read_rl_parquet(path))


def test_further_columns_are_ignored(tmp_path):
    record = RL.to_record() | {"note": "mine"}
    schema = RL_SCHEMA.append(pa.field("note", pa.string()))
    pq.write_table(pa.Table.from_pylist([record], schema=schema), tmp_path / "rl.parquet")
    assert list(read_rl_parquet(tmp_path / "rl.parquet")) == [RL]


def test_another_kind_of_file_is_refused(tmp_path):
    (tmp_path / "rl.parquet").write_text("id,label\n")
    with pytest.raises(ParquetError, match=r"rl\.parquet is not a parquet file"):
        next(read_rl_parquet(tmp_path / "rl.parquet"))
