"""`tag-rewards traces build`, `status` and `export`, as they are typed."""

import re

import pytest

from tag_rewards.prepare.rows import read_sft_parquet
from tag_rewards.traces.ledger import open_ledger, read_ledger
from tests.builders.command import command
from tests.builders.writer import MODEL


def run(*arguments):
    return command("traces", *arguments)


def arguments(faces, out, url, *more):
    return (
        *("build", faces, "--protocol", "made-faces/test", "--openface", faces / "openface"),
        *("--model", MODEL, "-o", f"url={url}", "--canvas", 64, "--out", out, *more),
    )


@pytest.fixture(scope="module")
def built(made_faces, writer, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "out"
    code, told, error = run(*arguments(made_faces, out, writer, "--prompt", "short"))
    assert (code, error) == (0, "")
    return out, told


def test_build_ends_with_the_files_of_sft_and_a_table(built):
    out, told = built
    names = {"ledger.sqlite", "ledger.sqlite.lock", "build.json", "traces"}
    assert {path.name for path in out.iterdir()} >= names  # and files of SQLite's own
    rows = [
        row
        for split in ("train", "test")
        for row in read_sft_parquet(out / "traces" / f"sft_{split}.parquet")
    ]
    with read_ledger(out / "ledger.sqlite") as ledger:
        counts = ledger.counts()
    assert len(rows) == counts.accepted > 20
    assert {row.trace_source for row in rows} == {f"blind:{MODEL}"}
    assert {row.prompt[:27] for row in rows} == {"<image>Which expression? In"}
    for name, count in (("samples", 40), ("with a trace", counts.accepted), ("open", 0)):
        assert re.search(rf"│ +{name} +│ +{count} │", told)
    for reason, count in counts.reasons.items():
        assert re.search(rf"│ +{reason} +│ +{count} │", told)
    assert "no process builds now (last: writer by openai)" in told


def test_build_again_asks_nothing(built, made_faces):
    out, told = built
    nowhere = "http://127.0.0.1:9/v1"
    again = run(*arguments(made_faces, out, nowhere, "--prompt", "short"))
    assert again == (0, told, "")


def test_status_of_a_build_that_runs(built):
    out, _ = built
    with open_ledger(out / "ledger.sqlite"):
        code, told, _ = run("status", out)
    assert code == 0
    assert re.search(r"process \d+ builds now: writer by openai", told)


def test_export_again_with_another_prompt(built, tmp_path):
    out, _ = built
    code, told, _ = run("export", out, "--prompt", "tag")
    assert (code, told) == (0, f"Written to {out / 'traces'}\n")
    row = next(iter(read_sft_parquet(out / "traces" / "sft_train.parquet")))
    assert row.prompt.startswith("<image>You are an expert")


def test_quality_leaves_out(made_faces, writer, tmp_path):
    table = tmp_path / "quality.parquet"
    protocol = ("--protocol", "made-faces/test")
    command("quality", made_faces, *protocol, "--out", table, "--require", "laplacian>=p10")
    code, told, _ = run(
        *arguments(made_faces, tmp_path / "out", writer, "--quality", table, "--no-export")
    )
    assert code == 0
    assert re.search(r"left out: quality +│ +3 │", told)
    assert not (tmp_path / "out" / "traces").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--evidence", "e"], "give one of --openface and --evidence"),
        (["--min-grounding", 2], "min_grounding is 2.0, not 0 to 1"),
        (["--temperatures", "warm"], "--temperatures is 'warm', not numbers such as 0.7,0.9,1.0"),
        (["--split", "dev"], "split 'dev' is not one of train, val, test"),
        (["--engine", "openia"], "'openia' is no engine"),
        (["-o", "concurrency"], "--engine-option is 'concurrency', not NAME=VALUE"),
        (["--template", "TEMPLATE"], "line 2: there is no field 'emotion'; a blind template has"),
        (["--seed", 1], "holds a build of seed 0, not 1; give another --out"),
    ],
)
def test_what_is_refused(built, made_faces, tmp_path, more, message):
    template = tmp_path / "mine.jinja"
    template.write_text("<image>\n{{ emotion }}")
    more = [template if value == "TEMPLATE" else value for value in more]
    code, told, error = run(*arguments(made_faces, built[0], "http://127.0.0.1:9/v1", *more))
    assert (code, told) == (2, "")
    assert error.startswith("tag-rewards: ")
    assert error.count("\n") == 1
    assert message in error


def test_there_is_no_build(tmp_path):
    for name in ("status", "export"):
        code, _, error = run(name, tmp_path)
        assert code == 2
        assert error == (
            f"tag-rewards: {tmp_path} holds no build of traces; `tag-rewards traces build` makes "
            "one\n"
        )
