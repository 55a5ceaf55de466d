"""The notebook, from its first cell to its last, as its code stands; what it shows can be shown."""

import ast
import json
from pathlib import Path

NOTEBOOK = Path(__file__).parents[1] / "examples" / "notebook" / "first_steps.ipynb"


def run(source, names):
    """The value of a cell: that of its last line, if it is an expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, NOTEBOOK.name, "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), NOTEBOOK.name, "eval"), names)


def test_every_cell_runs_and_shows_what_the_next_words_speak_of(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.mkdtemp", lambda: str(tmp_path))
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells)
    names: dict = {}
    shown = [run("".join(cell["source"]), names) for cell in cells]
    _, _, target, face, drawn, scores, why = shown
    assert target._repr_html_()
    assert {type(face).__name__, type(drawn).__name__} == {"Figure"}
    assert 0 < scores["grounding"] < 1
    assert scores["format"] == scores["accuracy"] == 1
    assert "its box lies off" in why._repr_html_()
