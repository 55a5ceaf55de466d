"""Does a test fail when the core is changed a little?

    python benchmarks/mutants.py [MODULE ...] [--most 60] [--seed 0]

A mutant is a module with one small change: another comparison, sign or number, `and` for `or`, a
condition turned round. Each is tried against the tests of the module's own folder. One that no test
notices survives: a test is missing, or the change makes no difference. Those of the second kind
stand with the reason in `benchmarks/equivalent_mutants.tsv`. Ends with 1 if others survive.

Everything happens in a copy of the repository; one mutant at a time, in a process of its own.
"""

from __future__ import annotations

import argparse
import ast
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[1]
EQUIVALENT = Path(__file__).with_name("equivalent_mutants.tsv")

#: Module -> the tests of its own folder, the quickest first.
TESTS = {
    "geometry.matching": ["tests/geometry/test_matching.py"],
    "geometry.boxes": ["tests/geometry/test_boxes.py", "tests/geometry/test_spaces.py"],
    "target": ["tests/test_target.py"],
    "rewards.score": ["tests/rewards"],
    "mentions": ["tests/test_mentions.py", "tests/mentions"],
    "forms": ["tests/test_forms.py", "tests/test_trace.py"],
    "trace.values": ["tests/test_trace.py"],
    "trace.text": ["tests/test_trace.py"],
    "evaluation.faithfulness": ["tests/evaluation/test_faithfulness.py", "tests/evaluation"],
    "evaluation.measures": ["tests/evaluation/test_faithfulness.py", "tests/evaluation"],
    "evaluation.intervals": ["tests/evaluation/test_intervals.py", "tests/evaluation"],
    "evaluation.verdicts": ["tests/evaluation/test_verdicts.py", "tests/evaluation"],
    "evaluation.classification": ["tests/evaluation/test_classification.py", "tests/evaluation"],
}
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
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node in expressions(ast.parse(source)):
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        start, end = starts[first] + node.col_offset, starts[last - 1] + (node.end_col_offset or 0)
        before, after = source[starts[first] : start], source[end : starts[last]]
        old = _one_line(before + source[start:end] + after)
        for change in changes(node):
            new = change.encode()
            whole = source[:start] + new + source[end:]
            found.append(Mutant(module, node.lineno, whole, old, _one_line(before + new + after)))
    return found


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
    for name in ("tag_rewards", "tests", "docs", "examples", "README.md", "CHANGELOG.md"):
        source, target = ROOT / name, to / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, to / name)
    return to


def passes(tree: Path, module: str, seconds: float, silent: bool = True) -> bool:
    """Whether the tests pass in a copy; not if they take longer than that."""
    process = multiprocessing.get_context("fork").Process(
        target=_test, args=(tree, TESTS[module], silent)
    )
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode == 0


def _test(tree: Path, tests: Sequence[str], silent: bool) -> None:
    import pytest

    os.chdir(tree)
    sys.path.insert(0, str(tree))
    sys.dont_write_bytecode = True
    if silent:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
    options = ["-x", "-q", "-k", LEFT_OUT, "--hypothesis-profile=quick", "--hypothesis-seed=0"]
    os._exit(pytest.main([*options, "-p", "no:cacheprovider", "-m", "not stack", *tests]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TESTS)}")
    parser.add_argument(
        "--most", type=int, default=1000, help="mutants of a module, drawn at random"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    # Once for all: each process begins as a copy of this one.
    import hypothesis  # noqa: F401
    import numpy as np  # noqa: F401
    import pytest  # noqa: F401
    import scipy.optimize  # noqa: F401
    import shapely  # noqa: F401

    known = equivalents()
    survivors, tried = [], 0
    with tempfile.TemporaryDirectory() as folder:
        tree = copied(Path(folder))
        for module in options.modules or TESTS:
            started = time.monotonic()
            if not passes(tree, module, 600, silent=False):
                sys.exit(f"the tests of {module} fail as they are: {' '.join(TESTS[module])}")
            seconds = 10 + 4 * (time.monotonic() - started)
            path, drawn = path_of(module, tree), mutants(module)
            source = path.read_bytes()
            random.Random(options.seed).shuffle(drawn)
            chosen = sorted(m for m in drawn[: options.most] if m.key not in known)
            for mutant in chosen:
                path.write_bytes(mutant.source)
                if passes(tree, module, seconds):
                    survivors.append(mutant)
                    print(
                        f"{module}:{mutant.line} survives",
                        mutant.old,
                        mutant.new,
                        sep="\n  ",
                        flush=True,
                    )
            path.write_bytes(source)
            tried += len(chosen)
            print(
                f"{module}: {len(chosen)} tried in {time.monotonic() - started:.0f} s", flush=True
            )
    print(f"{tried} mutants, {tried - len(survivors)} noticed, {len(survivors)} survive")
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main()
