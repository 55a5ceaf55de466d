"""Strategies of files that are wrong in one place: a value, an end that is missing, some bytes."""

import json

import pyarrow as pa
from hypothesis import strategies as st

LONG = {f"{digits} digits": "9" * digits for digits in (400, 5000)}

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2) | st.integers(),
    st.sampled_from([*LONG, 1e308, float("nan"), float("-inf"), 0.5, [], {}, [[]], "\ud800"]),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=2),
)


def _places(value, path=()):
    """The path of every value inside a JSON value, and of itself."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(inner, (*path, key))


def _changed(value, path, new):
    """The value with another one at a path; `...` is none."""
    if not path:
        return new
    copy = value.copy()
    if path[1:]:
        copy[path[0]] = _changed(copy[path[0]], path[1:], new)
    elif new is ...:
        del copy[path[0]]
    else:
        copy[path[0]] = new
    return copy


def _dumped(value):
    text = json.dumps(value)
    for name, number in LONG.items():
        text = text.replace(f'"{name}"', number)
    return text


@st.composite
def json_values(draw, value):
    """A JSON value with something odd, or nothing, in one place."""
    path = draw(st.sampled_from(list(_places(value))))
    return _changed(value, path, draw(ODD | st.just(...) if path else ODD))


@st.composite
def json_files(draw, values):
    """The bytes of a file with a JSON value on each line, wrong in one place."""
    lines = list(map(_dumped, values))
    how = draw(st.sampled_from(["value", "cut", "bytes"]))
    if how == "value":
        number = draw(st.integers(0, len(values) - 1))
        lines[number] = _dumped(draw(json_values(values[number])))
    data = "".join(line + "\n" for line in lines).encode()
    at = draw(st.integers(0, len(data)))
    if how == "cut":
        return data[:at]
    if how == "bytes":
        return data[:at] + draw(st.binary(max_size=3)) + data[at + draw(st.integers(0, 3)) :]
    return data


@st.composite
def tables(draw, table):
    """An Arrow table with a column that is missing, of another type or with something odd in it.

    Bytes of parquet are not touched: what reads them is not ours.
    """
    place = draw(st.integers(0, table.num_columns - 1))
    column, field = table.column(place), table.schema.field(place)
    how = draw(st.sampled_from(["missing", "type", "value", "null", "metadata"]))
    if how == "missing":
        return table.remove_column(place)
    if how == "metadata":
        metadata = table.schema.metadata or {}
        key = draw(st.sampled_from([*metadata, b"other"]))
        value = draw(json_files([json.loads(metadata.get(key, b"{}"))]))
        return table.replace_schema_metadata({**metadata, key: value})
    values = column.to_pylist()
    row = draw(st.integers(0, len(values) - 1))
    kind = field.type
    if how == "type":
        kind = draw(st.sampled_from([pa.string(), pa.float64(), pa.list_(pa.int32())]))
        values = [None] * len(values)
    elif how == "null":
        values[row] = None
    else:
        values[row] = draw(json_values(values[row]))
    try:
        odd = pa.array(values, kind)
    except (pa.ArrowException, UnicodeEncodeError, TypeError, ValueError, OverflowError):
        odd = pa.array([None] * len(values), kind)  # no column of this type holds it
    return table.set_column(place, pa.field(field.name, kind), odd)
