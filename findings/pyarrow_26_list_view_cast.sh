#!/usr/bin/env bash
# pyarrow 26.0.1: a column of list views that is cast to lists loses values, with `safe` casts too.
#
#   [[1, 2], [3]] as list_view(float32)    to list(float32)    [[1, 2], []]
#   the same, written with Arrow IPC and read back as it is    [[1, 2], [3]]
#
# No error and no warning: boxes or landmarks kept as list views come out with the last ones gone. Until it
# is mended, make lists of list views by way of Python's own (`to_pylist`), or refuse them.
#
# Seen with Python 3.11, pyarrow 26.0.1. Exits 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pyarrow==26.0.1
cat >cast.py <<'PY'
import pyarrow as pa

views = pa.array([[1, 2], [3]], pa.list_view(pa.float32()))
lists = views.cast(pa.list_(pa.float32()), safe=True)
sink = pa.BufferOutputStream()
with pa.ipc.new_stream(sink, pa.schema([("x", views.type)])) as stream:
    stream.write(pa.record_batch([views], names=["x"]))
read = pa.ipc.open_stream(sink.getvalue()).read_all()["x"]
print(lists.to_pylist(), read.to_pylist(), sep="|")
PY
IFS='|' read -r lists read < <(env/bin/python cast.py 2>errors || true) || { cat errors >&2; exit 1; }
printf 'cast to lists:        %s\n' "$lists"
printf 'written and read:     %s\n' "$read"
[[ "$lists" == '[[1.0, 2.0], []]' && "$read" == '[[1.0, 2.0], [3.0]]' ]]
