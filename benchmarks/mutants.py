"""Does a test fail when the core is changed a little?

    python benchmarks/mutants.py [MODULE ...] [--most 60] [--seed 0] [--like TEXT]

A mutant is a module with one small change: another comparison, sign or number, `and` for `or`, a
condition turned round, another bound of a pattern's repeat. Each is tried against the tests that
are about the module, until one fails. One that no test notices survives: a test is missing, or the
change makes no difference. Those of the second kind stand with the reason in
`benchmarks/equivalent_mutants.tsv`. Ends with 1 if others survive.

Everything happens in a copy of the repository; one mutant at a time, in a process of its own.

A sample of each module, drawn with seed 0, and how many survived before there were tests for them:

    module                      mutants   survived   of them equivalent   survive now
    geometry.matching                40          2                    1             0
    geometry.boxes                   30          6                    2             0
    target                           30          4                    0             0
    rewards.score                    20          2                    1             0
    mentions                         60         12                    3             0
    forms                            60         19                    4             0
    trace.text                       72         15                    5             0
    evaluation.faithfulness          30          9                    0             0
    evaluation.measures              25          7                    3             0
    evaluation.classification        25          4                    1             0
    evaluation.compare               40          5                    1             0
    all                             432         85                   21             0

Beside these, every mutant of a line with MAX_CHARS, MAX_BOXES or MAX_MARKS, of the image's edges
and of the bounds of the grammar of denial.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib
import multiprocessing
import os
import random
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.tsv")

_GROUNDING = ["tests/rewards/test_components.py", "tests/rewards/test_grounding_promises.py"]
_READING = ["tests/test_trace.py", "tests/test_docs_forms.py", "tests/test_reasoning.py"]
_EVALUATION = ["tests/evaluation/test_evaluate.py", "tests/evaluation/test_eval_command.py"]

#: Module -> the tests that are about it, the quickest first; behind them come its own examples.
TESTS = {
    "geometry.matching": ["tests/geometry/test_matching.py", *_GROUNDING],
    "geometry.boxes": ["tests/geometry/test_boxes.py", "tests/geometry/test_spaces.py"],
    "target": ["tests/test_target.py"],
    "rewards.score": [*_GROUNDING, "tests/test_reasoning.py", "tests/rewards"],
    "mentions": ["tests/test_mentions.py", "tests/mentions"],
    "forms": [*_READING, "tests/test_forms.py"],
    "trace.text": [*_READING, "tests/test_forms.py"],
    "evaluation.faithfulness": [
        "tests/evaluation/test_areas.py",
        "tests/evaluation/test_faithfulness.py",
        *_EVALUATION,
    ],
    "evaluation.measures": [
        "tests/evaluation/test_intervals.py",
        "tests/evaluation/test_faithfulness.py",
        "tests/evaluation/test_paired.py",
        *_EVALUATION,
    ],
    "evaluation.classification": [
        "tests/evaluation/test_classification.py",
        "tests/evaluation/test_answers.py",
        *_EVALUATION,
    ],
    "evaluation.compare": [
        "tests/evaluation/test_verdicts.py",
        "tests/evaluation/test_paired.py",
        *_EVALUATION,
    ],
}
# What tests import from elsewhere, once for all: the process of a mutant begins as a copy of ours.
PRELOADED = (
    *("cv2", "hypothesis", "numpy", "pyarrow.parquet", "pytest", "rich", "scipy.optimize"),
    *("scipy.stats", "shapely", "sklearn.metrics", "typer"),
)
PLUGINS = ("_hypothesis_pytestplugin", "pytest_timeout")
# Times of CPU, and the worst texts by the hundred.
LEFT_OUT = "not 50_ms and not costs_little and not hash_seed"

_COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(NamedTuple):
    """One change of a module."""

    module: str
    line: int
    source: bytes  # of the whole module
    old: str  # the changed lines as they are
    new: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What stays the same where lines move."""
        return self.module, self.old, self.new


def changes(node: ast.expr) -> Iterator[str]:
    """An expression changed in each way that there is."""
    match node:
        case ast.Compare(left, ops, comparators):
            for i, op in enumerate(ops):
                swapped = [*ops[:i], _COMPARISONS[type(op)](), *ops[i + 1 :]]
                yield ast.unparse(ast.Compare(left, swapped, comparators))
        case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
            yield ast.unparse(ast.BinOp(left, _OPERATORS[type(op)](), right))
        case ast.BoolOp(op, values):
            yield ast.unparse(ast.BoolOp(_OPERATORS[type(op)](), values))
        case ast.UnaryOp(ast.Not() | ast.USub(), operand):
            yield ast.unparse(operand)
        case ast.Constant(bool() as value):
            yield str(not value)
        case ast.Constant(int() | float() as value):
            yield repr(value + 1)
        case ast.IfExp(test, body, orelse):
            yield ast.unparse(ast.IfExp(ast.UnaryOp(ast.Not(), test), body, orelse))
        case ast.Call(ast.Name(name), args, keywords) if name in _NAMES:
            yield ast.unparse(ast.Call(ast.Name(_NAMES[name]), args, keywords))


def expressions(tree: ast.AST) -> Iterator[ast.expr]:
    """The expressions that do something: no annotations, no decorators, no texts of errors."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Raise | ast.JoinedStr):
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.keyword) and child.arg == "strict":  # of zip: a check of ours
                continue
            if isinstance(child, ast.expr):
                yield child
            yield from expressions(child)


def mutants(module: str) -> list[Mutant]:
    """Every mutant of a module."""
    source = path_of(module, ROOT).read_bytes()
    found = []
    for start, end, change in (*_changed_expressions(source), *_changed_bounds(source)):
        first = source.rfind(b"\n", 0, start) + 1
        before, after = source[first:start], source[end:].partition(b"\n")[0]
        old, new = (_one_line(before + text + after) for text in (source[start:end], change))
        line = source.count(b"\n", 0, start) + 1
        found.append(Mutant(module, line, source[:start] + change + source[end:], old, new))
    return found


def _changed_expressions(source: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Where each begins and ends, and what it is changed to."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for node in expressions(ast.parse(source)):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        for change in changes(node):
            yield start, end, change.encode()


def _changed_bounds(source: bytes) -> Iterator[tuple[int, int, bytes]]:
    """As `_changed_expressions`, for how often a pattern may repeat, "{0,8}"."""
    for found in re.finditer(rb"\{(\d+),(\d+)\}", source):
        least, most = map(int, found.groups())
        for a, b in ((least + 1, most), (least, most - 1), (least, most + 1)):
            if a <= b:
                yield *found.span(), b"{%d,%d}" % (a, b)


def _one_line(text: bytes) -> str:
    return " ".join(text.decode().split())


def path_of(module: str, root: Path) -> Path:
    """The file of a module in a copy of the repository."""
    return root.joinpath("tag_rewards", *module.split(".")).with_suffix(".py")


def equivalents() -> dict[tuple[str, str, str], str]:
    """The mutants that make no difference, with the reason."""
    rows = EQUIVALENT.read_text(encoding="utf-8").splitlines()[1:]
    parts = [row.split("\t") for row in rows]
    return {(module, old, new): why for module, old, new, why in parts}


def copied(to: Path) -> Path:
    """A copy of what the tests need."""
    files = ("README.md", "CHANGELOG.md", "pyproject.toml", "conftest.py")
    for name in ("tag_rewards", "tests", "docs", "examples", "benchmarks", *files):
        source, target = ROOT / name, to / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return to


def passes(tree: Path, module: str, seconds: float, silent: bool = True) -> bool:
    """Whether the tests pass in a copy; not if they take longer than that."""
    process = multiprocessing.get_context("fork").Process(target=_test, args=(tree, module, silent))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode == 0


def _test(tree: Path, module: str, silent: bool) -> None:
    import pytest

    os.chdir(tree)
    sys.path.insert(0, str(tree))
    sys.dont_write_bytecode = silent  # of a mutant; the first run leaves that of all else
    if silent:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
    options = ["-x", "-q", "-k", LEFT_OUT, "--hypothesis-profile=quick", "--hypothesis-seed=0"]
    options += ["-p", "no:cacheprovider", "-m", "not stack", "-W", "ignore"]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # those of the training stack take seconds
    options += [f"-p{name}" for name in PLUGINS]
    for tests in (*TESTS[module], str(path_of(module, tree))):  # one at a time: most end it soon
        failed = pytest.main([*options, tests])
        if failed not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            os._exit(1)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TESTS)}")
    parser.add_argument(
        "--most", type=int, default=1000, help="mutants of a module, drawn at random"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--like", default="", help="only mutants of lines with this text")
    options = parser.parse_args()
    for name in PRELOADED + PLUGINS:
        importlib.import_module(name)
    gc.freeze()  # pytest collects garbage thoroughly, and what is here is none

    known = equivalents()
    if gone := known.keys() - {mutant.key for module in TESTS for mutant in mutants(module)}:
        sys.exit(f"{EQUIVALENT.name} has what is no mutant any more: {min(gone)}")
    tried, survivors = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        tree = copied(Path(folder))
        for module in options.modules or TESTS:
            started = time.monotonic()
            if not passes(tree, module, 600, silent=False):
                sys.exit(f"the tests of {module} fail as they are: {' '.join(TESTS[module])}")
            seconds = 10 + 4 * (time.monotonic() - started)
            path = path_of(module, tree)
            source = path.read_bytes()
            for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
                compiled.unlink()
            drawn = [mutant for mutant in mutants(module) if options.like in mutant.old]
            random.Random(options.seed).shuffle(drawn)
            drawn = drawn[: options.most]
            chosen = sorted(mutant for mutant in drawn if mutant.key not in known)
            survived = 0
            for mutant in chosen:
                path.write_bytes(mutant.source)
                if passes(tree, module, seconds):
                    survived += 1
                    print(f"{module}:{mutant.line} survives", mutant.old, mutant.new, sep="\n  ")
                    sys.stdout.flush()
            path.write_bytes(source)
            tried, survivors = tried + len(drawn), survivors + survived
            print(
                f"{module}: {len(drawn)} mutants, {len(drawn) - len(chosen)} equivalent, "
                f"{survived} survive, {time.monotonic() - started:.0f} s",
                flush=True,
            )
    print(f"{tried} mutants, {survivors} survive")
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main()
