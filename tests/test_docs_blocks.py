"""The code of every page: it is Python, or shell, and what it calls is there with its options."""

from __future__ import annotations

import ast
import doctest
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tag_rewards import score
from tests.builders.command import every_command

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page for where in ("*.md", "docs/*.md", "examples/**/*.md") for page in ROOT.glob(where)
)
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_OURS = re.compile(r"(?:[A-Z_]+=(?:\S*|'[^']*'|\"[^\"]*\") )*(?:tag-rewards|python|bash|make) ")


def blocks(language: str) -> list:
    """Each block of a language in the pages, with its page and line as the test's name."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in _BLOCK.finditer(text):
            if block[2] == language:
                line = text.count("\n", 0, block.start()) + 2
                code = re.sub(rf"^{block[1]}", "", block[3], flags=re.MULTILINE)
                name = f"{page.relative_to(ROOT)}:{line}"
                found.append(pytest.param(code, id=name))
    return found


@pytest.mark.parametrize("code", blocks("python"))
def test_python_is_python(code):
    examples = doctest.DocTestParser().get_examples(code)
    for source in [example.source for example in examples] or [code]:
        compile(source, "a block", "exec")


@pytest.mark.parametrize("code", blocks("bash"))
def test_shell_is_shell(code):
    subprocess.run([shutil.which("bash"), "-n"], input=code, text=True, check=True)


def shell_lines() -> list:
    """Each line of the shell blocks, with its continuation, once."""
    found = {}
    for block in blocks("bash"):
        for line in block.values[0].replace("\\\n", " ").splitlines():
            found.setdefault(line.strip(), pytest.param(line.strip(), id=f"{block.id} {line:.60}"))
    return [found[line] for line in found if _OURS.match(line)]


def words_of(line: str) -> list[str]:
    """The words of a line up to what follows the command, without variables that are set."""
    words = shlex.split(line, comments=True)
    ends = [at for at, word in enumerate(words) if word in {"|", "&&", ";", "&", ">", ">>"}]
    words = words[: min(ends, default=len(words))]
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        del words[0]
    return words


@pytest.mark.parametrize("line", shell_lines())
def test_what_is_called_is_there(line):
    words = words_of(line)
    if words[:1] == ["tag-rewards"]:
        command = every_command()
        while hasattr(command, "commands") and len(words) > 1 and words[1] in command.commands:
            command = command.commands[words.pop(1)]
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        known |= {"--help"}
        options = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
        assert [option for option in options if option not in known] == []
        assert not hasattr(command, "commands") or command.invoke_without_command or options, words
    elif words[:1] in (["python"], ["bash"]) and len(words) > 1 and not words[1].startswith("-"):
        assert (ROOT / words[1]).is_file() or "/" not in words[1]
    elif words[:1] == ["make"]:
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets)


#: What an installation does not have, where a line of code names it to be run.
_IN_A_CLONE = re.compile(
    r"\b(?:bash|python|swift|vf-eval|oumi)\b(?:[^\n]|\\\n)*?[ =](?:recipes|examples|benchmarks)/\w"
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_says_what_runs_in_a_clone(page):
    text = page.read_text(encoding="utf-8")
    code = [block[3] for block in _BLOCK.finditer(text) if block[2] == "bash"]
    code += re.findall(r"`([^`\n]+)`", text)
    if any(map(_IN_A_CLONE.search, code)) and page.parent != ROOT:
        assert re.search(r"run in a\s\[clone\]\((\.\./)+README\.md#get-it\)", text)


def test_the_first_score_of_the_readme_is_what_it_says():
    """The first block of Python; its last line says how what is printed begins."""
    code = next(block.values[0] for block in blocks("python") if block.id.startswith("README.md"))
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    said = ast.literal_eval(re.search(r"# (\{.*), \.\.\.$", code.strip())[1] + "}")
    scores = score(names["answer"], names["target"])
    assert list(said) == list(scores)[: len(said)]
    assert {name: round(scores[name], 3) for name in said} == said
