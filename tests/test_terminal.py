"""Names from outside are text on a terminal, whatever brackets and colons they have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from tag_rewards.commands.evaluation_tables import results_tables
from tag_rewards.commands.terminal import terminal
from tests.builders.command import command
from tests.builders.results import made, write_made

MARKUP = ["[red]model", "[/]", "[bold]a[/bold]", ":smile:", "[link=http://a.example]b", "\\[a]"]


@given(st.sampled_from(MARKUP) | st.text("[]/\\:abc", max_size=9))
def test_what_is_printed_is_what_is_said(text):
    console = terminal()
    with console.capture() as said:
        console.print(text)
        console.print(Table(text, "x", title=text, caption=text).add_row)
    assert said.get().startswith(text)


@pytest.mark.parametrize("name", MARKUP)
def test_the_names_of_results_are_text(name):
    results = made(name, protocol=name)
    console = terminal()
    with console.capture() as said:
        for part in results_tables(results):
            console.print(part)
    assert f"{name}, {name}" in said.get()


def test_what_is_too_wide_for_a_column_goes_on_below(tmp_path):
    first, second = (
        write_made(tmp_path / "results_of_all_the_faces" / name, gallery=False) for name in "ab"
    )
    for arguments in (["compare", first, second], ["eval-table", first]):
        code, said, err = command(*arguments, columns=80)
        assert (code, err) == (0, "")
        assert "…" not in said


def test_the_names_of_folders_are_text(tmp_path):
    first, second = (write_made(tmp_path / name, gallery=False) for name in ("[red]a", "[.b]"))
    code, said, err = command("compare", first, second)
    assert (code, err) == (0, "")
    assert "[red]a" in said
    assert "[.b]" in said
    code, said, err = command("eval-table", first)
    assert (code, err) == (0, "")
