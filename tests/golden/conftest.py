"""What the golden tests share: goldens, and a made project that commands are run in.

A golden is a text file of `expected/`, written by Python 3.11; there numbers are exact. `sum` of
3.12 and other versions of NumPy differ in the last digit: elsewhere, 10 digits count. They are
written anew by

    GOLDEN_UPDATE=1 pytest tests/golden

and whoever changes a number says so in CHANGELOG.md.
"""

import hashlib
import json
import os
import re
import shutil
import sys
import threading
from collections import Counter
from difflib import unified_diff
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from tag_rewards import __version__
from tests.builders.command import told_in

HERE = Path(__file__).parent
UNSEEN = ("train_00012", "test_0008")
"""The faces that the detector did not see."""

SHOWN = 60
"""Lines of a difference that are told."""

DRAWN_BY = "5.0."
"""The version of OpenCV with which the goldens of commands were written."""

INPUTS, EXPECTED = HERE / "inputs", HERE / "expected"
ASTRONAUT = HERE.parent / "assets" / "astronaut.jpg"

# --- goldens -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def golden():
    """Compares a text, or records (one a line), with the file of this name in `expected/`."""

    def compare(name, found):
        text = found if isinstance(found, str) else "".join(map(_line, found))
        path = EXPECTED / name
        if os.environ.get("GOLDEN_UPDATE"):
            path.write_text(text, encoding="utf-8")
        expected = path.read_text(encoding="utf-8")
        if sys.version_info[:2] != (3, 11):
            text, expected = _to_10_digits(text), _to_10_digits(expected)
        if text != expected:
            pair = expected.splitlines(), text.splitlines()
            changes = list(unified_diff(*pair, str(path), "found", n=0, lineterm=""))
            more = f"\n... and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
            pytest.fail("\n".join(changes[:SHOWN]) + more, pytrace=False)

    return compare


@pytest.fixture(scope="session")
def inputs():
    """The folder of what the tests read."""
    return INPUTS


def _to_10_digits(text):
    return re.sub(r"\d+\.\d{8,}(e[+-]\d+)?", lambda found: f"{float(found[0]):.10g}", text)


def _line(record):
    return json.dumps(record, ensure_ascii=False) + "\n"


# --- the command line --------------------------------------------------------------------------


def tag_rewards(folder, *arguments):
    """Standard output of `tag-rewards ARGUMENTS` in a folder, which must go well."""
    told = told_in(folder, *arguments, columns=160)
    return "".join(f"{line.rstrip()}\n" for line in told.splitlines())


# --- a model -----------------------------------------------------------------------------------


class _Writer(BaseHTTPRequestHandler):
    """An endpoint whose answers follow from prompt and seed alone."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._send({"object": "list", "data": [{"id": "writer"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        parts = body["messages"][-1]["content"]
        prompt = "".join(part.get("text", "") for part in parts)
        pictures = [part["image_url"]["url"] for part in parts if "image_url" in part]
        text, reason = self.server.write(prompt, pictures, body["seed"])
        tokens = [{"token": token, "logprob": -len(token) / 64} for token in _tokens(text)]
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text},
            "finish_reason": reason,
            "logprobs": {"content": tokens} if body.get("logprobs") else None,
        }
        usage = {"prompt_tokens": 7, "completion_tokens": len(tokens), "total_tokens": 9}
        self._send({"choices": [choice], "usage": usage})

    def _send(self, content):
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def _tokens(text):
    return [text[start : start + 3] for start in range(0, len(text), 3)]


_SEEN = re.compile(r"^- (AU\d+), .*\[(\d+), (\d+), (\d+), (\d+)\]$", re.MULTILINE)
_LABELS = re.compile(r"Candidates: (.+)\.$|This face shows (\w+)\.", re.MULTILINE)


def _write(prompt, pictures, seed):
    """(text, finish reason): most are good, others badly formed, wrong, ungrounded or cut off."""
    draw = int(hashlib.sha256(f"{seed} {prompt} {pictures}".encode()).hexdigest()[:12], 16)
    off, kind = draw % 4, draw // 4 % 12
    boxes = {au: [int(x) for x in box] for au, *box in _SEEN.findall(prompt)}
    boxes = boxes or {"AU12": [20, 40, 44, 52]}
    if kind == 0:
        boxes = {"AU9": [1, 1, 9, 9]}
    steps = [
        f"Inspect face ({au}) → active → <bbox>[{x1 + off},{y1},{x2 + off},{y2}]</bbox>"
        for au, (x1, y1, x2, y2) in boxes.items()
    ]
    found = _LABELS.search(prompt)
    labels = (found[1] or found[2]).split(", ") if found else ["anger", "fear"]
    label = labels[draw // 48 % len(labels)]
    lines = [
        "Global analysis: A face that looks to the front.",
        *(["Verification loop:"] if kind != 1 else []),
        *steps,
        f"Final conclusion: {' + '.join(boxes)}: an expression of {label}.",
        f"<answer> {label} </answer>",
    ]
    text = "\n".join(lines)
    return (text[: len(text) // 2], "length") if kind == 2 else (text, "stop")


@pytest.fixture(scope="session")
def endpoint():
    """URL of a server that answers as OpenAI's chat completions do."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Writer)
    server.write = _write
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


# --- what was written, as text -----------------------------------------------------------------


@pytest.fixture(scope="session")
def rows():
    """The rows of a parquet file as JSON has them; what cannot be read by eye is told in short.

    A picture is its size and a digest of its pixels, so that encoders may differ; of long texts
    the first is told in full, and many numbers are a digest of their exact values.
    """

    def read(*paths, without=()):
        told = Counter()
        records = [record for path in paths for record in pq.read_table(path).to_pylist()]
        return [_plain(record, told, without) for record in records]

    return read


def _plain(value, told, without=()):
    if isinstance(value, dict):
        return {k: _plain(v, told) for k, v in value.items() if k not in without}
    if isinstance(value, bytes):
        return _picture(value)
    if isinstance(value, list):
        if value and (isinstance(value[0], list) or (len(value) > 8 and _is_numbers(value))):
            return f"{len(value)} with digest {_digest(json.dumps(value))}"
        return [_plain(one, told) for one in value]
    if isinstance(value, str) and len(value) > 800:  # prompts
        told["long"] += 1
        return value if told["long"] == 1 else f"{value[:20]}... with digest {_digest(value)}"
    return value


def _is_numbers(values):
    return all(isinstance(value, float) for value in values)


@pytest.fixture(scope="session")
def picture():
    """Size and a digest of the pixels of an encoded picture."""
    return _picture


@pytest.fixture(scope="session")
def photograph():
    """An encoded photograph of a face."""
    return ASTRONAUT.read_bytes()


def _picture(encoded):
    """Size and a digest of the pixels of an encoded picture."""
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    return f"{'x'.join(map(str, pixels.shape))} with digest {_digest(pixels.tobytes())}"


def _digest(content):
    content = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(content).hexdigest()[:16]


class _Page(HTMLParser):
    """The text of an HTML page: a line for each block, cells of a row set off by bars."""

    _BLOCKS = frozenset(
        ["title", "h1", "h2", "h3", "h4", "p", "caption", "tr", "li", "pre", "summary", "div"]
    )

    def __init__(self):
        super().__init__()
        self.lines, self._skipped = [""], 0

    def handle_starttag(self, tag, attributes):
        if tag in {"svg", "style", "script"}:
            self._skipped += 1
        elif tag in self._BLOCKS:
            self.lines.append("")
        elif tag in {"td", "th"}:
            self.lines[-1] += " |"

    def handle_endtag(self, tag):
        if tag in {"svg", "style", "script"}:
            self._skipped -= 1
        elif tag in self._BLOCKS:
            self.lines.append("")

    def handle_data(self, data):
        if not self._skipped:
            self.lines[-1] += f" {' '.join(data.split())}".rstrip()


_LIBRARIES = tuple(f"| {name} |" for name in ("python", "numpy", "scipy", "scikit-learn"))


@pytest.fixture(scope="session")
def page():
    """The text of an HTML file, without its pictures and the versions of what it was made with."""

    def read(path):
        parser = _Page()
        parser.feed(path.read_text(encoding="utf-8"))
        lines = [line.strip() for line in parser.lines if line.strip()]
        text = "".join(f"{line}\n" for line in lines if not line.startswith(_LIBRARIES))
        return text.replace(__version__, "VERSION")

    return read


@pytest.fixture(scope="session")
def listing():
    """The files of a folder, sorted; of a picture its size too, to a hundred pixels."""

    def read(folder):
        names = []
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            if path.suffix == ".png":
                height, width = (round(side, -2) for side in cv2.imread(str(path)).shape[:2])
                name += f" about {width}x{height}"
            if path.is_file():
                names.append(f"{name}\n")
        return "".join(names)

    return read


# --- a project ---------------------------------------------------------------------------------

_OPENFACE = ("--openface", "faces/openface")
_PROTOCOL = ("--protocol", "made-faces/test")
_EVAL = ("eval", "--resamples", 300)

_COMMANDS = {
    "faces": ("made-faces", "faces", "--train", 12, "--test", 8, "--size", 64, "--seed", 3),
    "data": (
        *("prepare", "faces", *_PROTOCOL, *_OPENFACE, "--canvas", 64, "--prompt", "short"),
        *("--out", "data"),
    ),
    "evidence": (
        *("annotate", "faces", "--detector", "openface-csv", "-o", "folder=faces/openface"),
        *("--no-cache", "--out", "evidence"),
    ),
    "quality": (
        *("quality", "faces", *_PROTOCOL, *_OPENFACE, "--out", "quality.parquet"),
        *("--require", "laplacian>=p20", "--require", "|yaw|<=45"),
    ),
    "asked": (
        *("generate", "data/eval.parquet", "--out", "asked/completions.jsonl", "--counterfactual"),
        *("--model", "writer", "--engine", "openai", "-o", "url=URL"),
    ),
    "eval sft": (
        *(*_EVAL, "--data", "data/eval.parquet", "--predictions", "sft.jsonl"),
        *("--out", "results/sft"),
    ),
    "eval grpo": (
        *(*_EVAL, "--data", "data/eval.parquet", "--predictions", "grpo.jsonl", "--seed", 4),
        *("--out", "results/grpo"),
    ),
    "eval dataset": (
        *(*_EVAL, "--dataset", "faces", "--protocol", "rafdb/basic-test", "--allow-mismatch"),
        *("--evidence", "evidence", "--canvas", 64, "--predictions", "grpo.jsonl"),
        *("--train-data", "data/rl_train.parquet", "--out", "results/dataset"),
    ),
    "eval asked": (
        *(*_EVAL, "--data", "data/eval.parquet", "--predictions", "asked/completions.jsonl"),
        *("--counterfactual", "asked/counterfactual.jsonl", "--out", "results/asked"),
    ),
}

_NEEDS = {
    "data": ["faces"],
    "evidence": ["faces"],
    "quality": ["faces"],
    "asked": ["data"],
    "eval sft": ["data"],
    "eval grpo": ["data"],
    "eval dataset": ["data", "evidence"],
    "eval asked": ["asked"],
}


class Project:
    """A folder in which commands are run, those that a test needs when it asks for them."""

    def __init__(self, folder, url):
        self._folder, self._url, self._told = folder, url, {}

    def __truediv__(self, name):
        return self._folder / name

    def told(self, name):
        """What a command of `_COMMANDS` printed; it is run once, after those that it needs."""
        if name not in self._told:
            for needed in _NEEDS.get(name, ()):
                self.told(needed)
            self._told[name] = self.run(*_COMMANDS[name])
            if name == "faces":
                for unseen in UNSEEN:
                    (self / "faces" / "openface" / f"{unseen}_aligned.csv").unlink()
        return self._told[name]

    def run(self, *arguments, needs=()):
        """What `tag-rewards ARGUMENTS` prints, run after those commands of `_COMMANDS`."""
        for name in needs:
            self.told(name)
        filled = [str(one).replace("url=URL", f"url={self._url}") for one in arguments]
        return tag_rewards(self._folder, *filled)


@pytest.fixture(scope="session")
def project(tmp_path_factory, endpoint):
    """Twelve made faces to train on and eight to test on, and what becomes of them.

    OpenCV draws the faces, and other versions of it draw other pixels: with those it skips.
    """
    if not cv2.__version__.startswith(DRAWN_BY):
        pytest.skip(f"OpenCV {DRAWN_BY} drew the faces of the goldens, here is {cv2.__version__}")
    folder = tmp_path_factory.mktemp("golden")
    shutil.copytree(INPUTS, folder, dirs_exist_ok=True)
    return Project(folder, endpoint)
