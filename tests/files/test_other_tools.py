"""Parquet files that other tools rewrote: the same rows come out, or one sentence says why not."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.evidence.rows import (
    EvidenceRow,
    evidence_table,
    read_evidence,
    write_evidence_table,
)
from tag_rewards.files.objects import ParquetError, open_parquet
from tag_rewards.prepare.eval_set import read_evaluation_set
from tag_rewards.prepare.rows import RL_SCHEMA, EvalRow, read_rl_parquet, read_sft_parquet
from tag_rewards.sft_data.conversations import ConversationFile
from tests.builders.rows import RL, SFT, write


def retyped(kind, *kinds):
    """A type of ours as another tool has it."""
    text, binary, lists, integer, number = kinds
    if pa.types.is_struct(kind):
        parts = [
            (one.name, retyped(one.type, text, binary, lists, integer, number)) for one in kind
        ]
        return pa.struct(parts[::-1])
    if pa.types.is_list(kind):
        return lists(pa.field("anything", retyped(kind.value_type, *kinds)))
    plain = {pa.string(): text, pa.binary(): binary, pa.float64(): number}
    return integer if pa.types.is_integer(kind) else plain[kind]


def rewritten(path, *kinds):
    """The file with each column in other types, and without its metadata."""
    table = pq.read_table(path)
    columns = {
        name: table[name].cast(retyped(table[name].type, *kinds)) for name in table.schema.names
    }
    pq.write_table(pa.table(columns), path)
    return path


def by_polars(path):
    return rewritten(
        path, pa.large_string(), pa.large_binary(), pa.large_list, pa.int32(), pa.float64()
    )


def with_float_numbers(path):
    """What is left of whole numbers in a table that once had one missing."""
    return rewritten(path, pa.string(), pa.binary(), pa.list_, pa.float64(), pa.float64())


def by_pandas(path):
    frame = pytest.importorskip("pandas").read_parquet(path)
    for name in frame.columns:
        if isinstance(frame[name][0], str):
            frame[name] = frame[name].astype("category")
    frame.to_parquet(path, index=True)
    return path


def by_datasets(path):
    datasets = pytest.importorskip("datasets")
    folder = path.parent
    rows = datasets.Dataset.from_parquet(str(path), cache_dir=str(folder / "cache"))
    rows.to_parquet(str(path))
    return path


TOOLS = pytest.mark.parametrize("tool", [by_polars, with_float_numbers, by_pandas, by_datasets])


@TOOLS
def test_rows_are_the_same(tmp_path, tool):
    assert list(read_rl_parquet(tool(write(tmp_path / "rl.parquet", [RL, RL])))) == [RL, RL]
    sft = tool(write(tmp_path / "sft.parquet", [SFT]))
    assert list(read_sft_parquet(sft)) == [SFT]
    [conversation] = ConversationFile(sft)
    assert conversation.images == (SFT.image,)


@TOOLS
def test_evidence_is_the_same(tmp_path, tool):
    rows = [
        EvidenceRow("a.jpg", "0" * 64, "no_face", "", 640, 480, "dlib", "20"),
        EvidenceRow("b.jpg", "", "failed", "it is cut", 0, 0, "dlib", "20"),
    ]
    write_evidence_table(tmp_path / "e.parquet", evidence_table(rows))
    tool(tmp_path / "e.parquet")
    assert [row.to_record() for row in read_evidence(tmp_path / "e.parquet")] == [
        row.to_record() for row in rows
    ]


@TOOLS
def test_what_the_file_said_of_itself_is_missed_aloud(tmp_path, tool):
    row = EvalRow(RL, np.arange(136.0).reshape(68, 2))
    with pytest.raises(ParquetError, match=r"lacks the metadata 'tag_rewards', which most tools"):
        read_evaluation_set(tool(write(tmp_path / "eval.parquet", [row])))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([1.5]), r"column 'a' is double, and what it holds cannot become int64 \(Float"),
        (pa.array(["1"]), "column 'a' is string, not int64"),
        (pa.array([True]), "column 'a' is bool, not int64"),
        (pa.array([[1]], pa.list_view(pa.int64())), "column 'a' is list_view"),
    ],
)
def test_what_says_something_else_is_refused(tmp_path, values, message):
    path = tmp_path / "a.parquet"
    try:
        pq.write_table(pa.table({"a": values}), path)
    except pa.ArrowNotImplementedError:
        pytest.skip(f"pyarrow {pa.__version__} writes no {values.type}")
    with (
        pytest.raises(ParquetError, match=rf"a\.parquet: {message}"),
        open_parquet(path, pa.schema([("a", pa.int64())])) as file,
    ):
        file.read(["a"])


def test_a_struct_without_a_field_is_refused(tmp_path):
    table = pa.Table.from_pylist([RL.to_record()], schema=RL_SCHEMA)
    at = RL_SCHEMA.get_field_index("images")
    paths = pa.array([[{"path": "a.png"}]])
    pq.write_table(table.set_column(at, "images", paths), tmp_path / "rl.parquet")
    with pytest.raises(ParquetError, match=r"column 'images' is list<.*path: string>>, not"):
        next(read_rl_parquet(tmp_path / "rl.parquet"))


WORDS = st.none() | st.text(max_size=3)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "words": st.none() | st.lists(WORDS, max_size=3),
            "number": st.none() | st.integers(-(2**31), 2**31 - 1),
            "part": st.none() | st.fixed_dictionaries({"data": st.none() | st.binary(max_size=3)}),
        }
    ),
    min_size=1,
    max_size=5,
)
SCHEMA = pa.schema(
    [
        ("words", pa.list_(pa.string())),
        ("number", pa.int64()),
        ("part", pa.struct([("data", pa.binary())])),
    ]
)


KINDS = st.tuples(
    st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())]),
    st.sampled_from([pa.binary(), pa.large_binary()]),
    st.sampled_from([pa.list_, pa.large_list]),
    st.sampled_from([pa.int32(), pa.int64(), pa.float64()]),
)


@given(RECORDS, KINDS)
def test_no_value_changes(tmp_path_factory, records, kinds):
    path = tmp_path_factory.mktemp("any") / "a.parquet"
    schema = pa.schema([(one.name, retyped(one.type, *kinds, pa.float64())) for one in SCHEMA])
    pq.write_table(pa.Table.from_pylist(records, schema=schema), path)
    with open_parquet(path, SCHEMA) as file:
        assert file.read(SCHEMA.names).to_pylist() == records
        batches = file.batches(SCHEMA.names, 2)
        assert [record for batch in batches for record in batch.to_pylist()] == records


def test_a_file_that_is_not_there_is_named_as_the_system_names_it(tmp_path):
    path = tmp_path / "no.parquet"
    with pytest.raises(FileNotFoundError) as caught, open_parquet(path, SCHEMA):
        pass
    assert (caught.value.filename, caught.value.strerror) == (
        str(path),
        "No such file or directory",
    )
