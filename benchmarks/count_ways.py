"""How many files one thing that is done runs through, and the figures of the whole package.

    python benchmarks/count_ways.py [--list]
    PYTHONPATH=/another/checkout python benchmarks/count_ways.py     # of the package there

Whoever wants to know what `prepare` does reads the files that it runs through. Each *way* is done
once here on a few made faces, through a public door (the command, or `tag_rewards.score`), in a
process of its own, so that no cache that another way has filled hides a file:

- `score`: one trace, against a target that is there already;
- `prepare`: from OpenFace's CSV files;
- `eval`: of what `generate --counterfactual` wrote, beside the baselines;
- `report`: of two evaluations;
- `traces build`: from the same CSV files, up to the ledger (`--no-export`).

The model is an endpoint in this script; it answers with the trace that `prepare` wrote.

A file is *entered* when a function that is written in it is called on the way, in any thread. What
runs because a module is imported, or a package hands out a name, does not count: a table that is
only looked up is no stop on the way. Nor do two rooms: how a way is typed (`cli`, `commands`) and
how the model is reached (`engines`).

The package's imports are those that grimp sees, also within functions and for types alone. A module
has one importer if a single other module, not its package's `__init__`, imports it; commands, which
only `cli` imports, are left out. Modules are in a circle if each imports each other by some path.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import io
import json
import multiprocessing
import os
import sys
import tempfile
import threading
from base64 import b64decode
from collections import Counter, defaultdict
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import grimp
import pyarrow.parquet as pq
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

import tag_rewards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

PACKAGE = Path(tag_rewards.__file__).parent
NOT_COUNTED = ("cli.py", "commands", "engines")
AT_MOST = {"score": 7, "prepare": 22, "eval": 22, "report": 22, "traces build": 32}
"""Files that a way should enter."""

TEXT = """Global analysis: a bright face.
Verification loop:
Inspect mouth corners (AU12) → pulled up → <bbox>[18,40,48,55]</bbox>
Final conclusion: AU12 indicates happiness.
<answer> happiness </answer>"""


def command(*arguments: str) -> None:
    """Run `tag-rewards ARGUMENTS` in this process, silently."""
    from tag_rewards.cli import app

    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        app(arguments, standalone_mode=False)


def files_entered(arguments: tuple[str, ...]) -> list[str]:
    """The files that a command enters; those of `score` where there are no arguments."""
    seen = tag_rewards.AUEvidence(12, 0.9, (20, 40, 50, 55))
    target = tag_rewards.Target("happiness", (seen,), tag_rewards.BoxSpace.pixels(64, 64))
    score = tag_rewards.score
    if arguments:
        return entered_by(lambda: command(*arguments))
    return entered_by(lambda: score(TEXT, target))


def entered_by(way: Callable[[], object]) -> list[str]:
    """The files of the package, relative to it, of the functions called on the way."""
    inside = f"{PACKAGE}{os.sep}"
    entered = set()

    def imports(frame: FrameType | None) -> bool:
        while frame is not None:
            code = frame.f_code
            if code.co_filename.startswith(inside) and code.co_name in ("<module>", "__getattr__"):
                return True
            frame = frame.f_back
        return False

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        # The body of a class is run as code too, but is not optimised as functions are.
        if event == "call" and code.co_flags & inspect.CO_OPTIMIZED:
            file = code.co_filename
            if file not in entered and file.startswith(inside) and not imports(frame):
                entered.add(file)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        way()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    paths = (Path(file).relative_to(PACKAGE) for file in sorted(entered))
    # Templates of jinja are compiled to functions of their own.
    return [str(p) for p in paths if p.suffix == ".py" and p.parts[0] not in NOT_COUNTED]


@contextmanager
def endpoint(traces: dict[bytes, str]) -> Iterator[str]:
    """URL of an OpenAI-compatible endpoint that knows the traces of encoded images."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.answer({"object": "list", "data": [{"id": "writer"}]})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            parts = asked["messages"][-1]["content"]
            [url] = [part["image_url"]["url"] for part in parts if "image_url" in part]
            text = traces.get(b64decode(url.partition(",")[2]), TEXT)
            message = {"role": "assistant", "content": text}
            usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self.answer({"choices": [choice], "usage": usage})

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def prepared_traces(data: Path) -> dict[bytes, str]:
    """The trace of each encoded image in the SFT files that `prepare` wrote."""
    rows = [row for path in data.glob("sft_*.parquet") for row in pq.read_table(path).to_pylist()]
    return {row["images"][0]["bytes"]: row["messages"][-1]["content"] for row in rows}


def count_ways(folder: Path) -> dict[str, list[str]]:
    """The files that each way enters, with what is made for it in a folder."""
    faces, data, first, second, completions, masked = (
        str(folder / name)
        for name in ("faces", "data", "1", "2", "completions.jsonl", "counterfactual.jsonl")
    )
    openface = ("--openface", f"{faces}/openface")
    read = (faces, "--protocol", "made-faces/test", "--canvas", "64", *openface)
    written = ("--predictions", completions, "--counterfactual", masked)
    evaluate = ("eval", "--data", f"{data}/eval.parquet", *written)
    ways = {}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:

        def count(way: str, *arguments: str) -> None:
            ways[way] = pool.apply(files_entered, (arguments,))

        count("score")
        command("made-faces", faces, "--train", "12", "--test", "12", "--size", "64")
        count("prepare", "prepare", *read, "--out", data)
        with endpoint(prepared_traces(Path(data))) as url:
            model = ("--model", "writer", "--engine", "openai", "-o", f"url={url}")
            ask = ("generate", f"{data}/eval.parquet", *model, "--counterfactual")
            command(*ask, "--out", completions)
            count("eval", *evaluate, "--out", first)
            command(*evaluate, "--out", second)
            count("report", "report", first, second, "--out", str(folder / "report"))
            built = ("--no-export", "--out", str(folder / "built"))
            count("traces build", "traces", "build", *read, *model, *built)
    return ways


def figures() -> dict[str, int | list[str]]:
    """Figures of all files of the package, or what they count."""
    files = sorted(PACKAGE.rglob("*.py"))
    texts = [file.read_text(encoding="utf-8") for file in files]
    [(widest, width)] = Counter(file.parent for file in files).most_common(1)
    classes = [
        node
        for text in texts
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef)
    ]
    graph = grimp.build_graph("tag_rewards", cache_dir=None)
    importers = {name: graph.find_modules_that_directly_import(name) for name in graph.modules}
    packages = {".".join(file.relative_to(PACKAGE.parent).parts[:-1]) for file in files}
    lonely = [
        name
        for name, whose in sorted(importers.items())
        if len(whose) == 1 and not packages & {name, *whose} and ".commands." not in name
    ]
    return {
        "files": len(files),
        "lines": sum(text.count("\n") for text in texts),
        "record types": sum(map(is_record, classes)),
        f"files in the widest folder, {widest.name}": width,
        "modules with one importer": lonely,
        "circles of imports": [" ".join(circle) for circle in circles(importers)],
    }


def circles(importers: dict[str, set[str]]) -> list[list[str]]:
    """Sets of modules that import each other, by any path."""
    names = sorted(importers)
    edges = [(names.index(one), names.index(name)) for name in names for one in importers[name]]
    matrix = coo_array(([1] * len(edges), tuple(zip(*edges, strict=True))), [len(names)] * 2)
    _, labels = connected_components(matrix, connection="strong")
    groups = defaultdict(list)
    for name, label in zip(names, labels, strict=True):
        groups[label].append(name)
    return [group for group in groups.values() if len(group) > 1]


def is_record(class_: ast.ClassDef) -> bool:
    """Whether a class is a dataclass, a named tuple, a typed dict or a pydantic model."""
    words = (ast.unparse(node) for node in (*class_.decorator_list, *class_.bases))
    named = {word.partition("(")[0].rpartition(".")[2] for word in words}
    return bool(named & {"dataclass", "NamedTuple", "TypedDict", "BaseModel"})


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="name what is counted, too")
    named = parser.parse_args().list

    def show(name: str, found: int | list[str], limit: str = "") -> None:
        number = found if isinstance(found, int) else len(found)
        print(f"  {name:<40}{number:>8,}{limit and f'{limit:>10}'}")
        for item in found if named and isinstance(found, list) else ():
            print(f"      {item}")

    print(f"{PACKAGE} has")
    for name, found in figures().items():
        show(name, found)
    with tempfile.TemporaryDirectory() as folder:
        ways = count_ways(Path(folder))
    print(f"{'files entered by':<42}{'now':>8}{'at most':>10}")
    for way, files in ways.items():
        show(way, files, str(AT_MOST[way]))


if __name__ == "__main__":
    main()
