"""What an older version wrote opens with today's commands, and says what it said."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PROTOCOL = ("--protocol", "made-faces/test")
NOWHERE = ("--model", "writer", "-o", "url=http://127.0.0.1:9/v1")
"""An endpoint that nobody can ask: what is complete needs none."""


def targets(path):
    rows = pq.read_table(path, columns=["extra_info", "reward_model"]).to_pylist()
    return {row["extra_info"]["id"]: row["reward_model"]["ground_truth"] for row in rows}


def figures(folder):
    results = json.loads((folder / "results.json").read_text())
    return {name: results[name] for name in ("classification", "faithfulness", "by_au")}


def points(found):
    """Values without their intervals, which other versions make in other ways."""
    if not isinstance(found, dict):
        return [points(one) for one in found] if isinstance(found, list) else found
    return {name: points(one) for name, one in found.items() if name not in ("low", "high")}


def test_evidence_and_quality_make_the_same_targets(old):
    old.run(
        *("prepare", "faces", *PROTOCOL, "--evidence", "evidence", "--quality", "quality.parquet"),
        *("--canvas", 48, "--prompt", "short", "--polygons", "--out", "again"),
    )
    for name in ("rl_train.parquet", "rl_test.parquet", "eval.parquet"):
        assert targets(old / "again" / name) == targets(old / "data" / name)


def test_annotation_goes_on_with_evidence(old):
    [shard] = (old / "evidence").glob("evidence-*.parquet")
    before = shard.read_bytes()
    detector = ("--detector", "openface-csv", "-o", "folder=faces/openface")
    old.run("annotate", "faces", *detector, "--out", "evidence", "--no-cache")
    assert [path.read_bytes() for path in (old / "evidence").glob("*.parquet")] == [before]


def test_evidence_is_shown(old):
    old.run("show", "faces/Image/aligned/test_0001_aligned.jpg", "--evidence", "evidence")
    assert (old / "faces.png").stat().st_size > 1000


def test_a_target_scores(old):
    rows = targets(old / "data" / "rl_test.parquet").items()
    name, target = next((name, target) for name, target in rows if '"au"' in target)
    completions = map(json.loads, (old / "grpo.jsonl").read_text().splitlines())
    [text] = [one["completion"] for one in completions if one["id"] == name]
    (old / "target.json").write_text(target)
    (old / "answer.txt").write_text(text)
    told = old.run("score", "answer.txt", "--target", "target.json")
    assert re.search(r"grounding +│ 1\.000", told)


def test_completions_are_complete_and_evaluated_the_same(old):
    before = {path: path.read_bytes() for path in (old / "asked").glob("*.jsonl")}
    out = ("--out", "asked/completions.jsonl", "--counterfactual")
    old.run("generate", "data/eval.parquet", "--engine", "openai", *NOWHERE, *out)
    assert {path: path.read_bytes() for path in before} == before
    old.run(
        *("eval", "--data", "data/eval.parquet", "--predictions", "sft.jsonl", "--out", "again"),
        *("--counterfactual", "asked/counterfactual.jsonl", "--resamples", 200),
    )
    now, then = (points(figures(old / name)) for name in ("again", "results/sft"))
    for who, measures in then["faithfulness"].items():
        assert measures.items() <= now["faithfulness"][who].items()
    for parser, measures in then["classification"].items():
        # 0.1.0 had labels without faces count as 0 in macro F1 of the strict parser.
        for one in measures["by_class"]:
            if not one["support"] and (parser == "strict" or not one["predicted"]):
                one["f1"] = None
        if parser == "strict":
            measures["macro_f1"] = now["classification"]["strict"]["macro_f1"]
        assert measures.items() <= now["classification"][parser].items()
    assert now["by_au"] == then["by_au"]


def opened(old):
    """What the commands say of the results."""
    told = old.run("compare", "results/sft", "results/grpo", "--resamples", 200)
    told += old.run("eval-table", "results/grpo", "--resamples", 200)
    old.run("report", "results/sft", "results/grpo", "--run", "run", "--out", "report")
    page = (old / "report" / "index.html").read_text()
    assert "Faces" in page
    return told, page


def test_results_open(old):
    told, page = opened(old)
    for words in ("accuracy", "mean AU-IoU", "text-box agreement"):
        assert words in told
        assert words in page


def change_results(old, faithfulness, classification, columns):
    """Change the measures of all results: in place, and the columns of the tables of faces."""
    for path in (old / "results").rglob("results.json"):
        results = json.loads(path.read_text())
        for measures in results["faithfulness"].values():
            faithfulness(measures)
        for measures in results["classification"].values():
            classification(measures)
        path.write_text(json.dumps(results))
    for path in (old / "results").rglob("*.parquet"):
        pq.write_table(columns(pq.read_table(path)), path)


def nothing(_):
    pass


FIGURE = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 3}


def add_column(table):
    return table.append_column("gaze", pa.array([0.5] * len(table)))


def drop_column(table):
    return table.drop_columns(["text_box_agreement"])


@pytest.mark.parametrize(
    ("faithfulness", "classification", "columns"),
    [
        pytest.param(lambda found: found.update(gaze=FIGURE), nothing, add_column, id="one more"),
        pytest.param(
            *(nothing, lambda found: found.update(kappa=FIGURE), add_column),
            id="one more of answers",
        ),
        pytest.param(
            *(lambda found: found.pop("text_box_agreement"), nothing, drop_column),
            id="one less",
        ),
        pytest.param(
            *(nothing, lambda found: found.pop("ece"), lambda table: table),
            id="one less of answers",
        ),
    ],
)
def test_results_with_other_measures_open(old, faithfulness, classification, columns):
    change_results(old, faithfulness, classification, columns)
    told, page = opened(old)
    for words in ("accuracy", "mean AU-IoU"):
        assert words in told
        assert words in page
    for name in ("gaze", "kappa"):
        if name in (old / "results" / "sft" / "results.json").read_text():
            passed_over = f"another version of tag-rewards wrote these results; {name} is not known"
            assert passed_over in told
            assert passed_over in page


def test_a_run_is_summarized(old):
    old.run("summarize", "run", "--data", "data")
    summary = (old / "run" / "summary.md").read_text()
    assert "before (step 0) | after (step 4)" in summary
    assert "3 held-out faces, 2 of them with AUs" in summary
    assert "| grpo | 1 min 15 s |" in summary


def test_a_build_of_traces_is_exported_the_same(old):
    status = old.run("traces", "status", "built")
    assert "blind traces of made-faces/test" in status
    before = {path.name: pq.read_table(path) for path in (old / "built/traces").glob("*.parquet")}
    assert sum(map(len, before.values())) > 10
    old.run("traces", "export", "built", "--prompt", "short")
    for name, table in before.items():
        again = pq.read_table(old / "built" / "traces" / name).to_pylist()
        for row, earlier in zip(again, table.to_pylist(), strict=True):
            scores, known = row.pop("scores") or {}, earlier.pop("scores") or {}
            for image in row.get("images") or ():
                assert image.pop("path") is None  # there since images say that they are such
            assert row == earlier
            assert {key: scores[key] for key in known} == known  # there are more of them now


def test_a_build_of_traces_goes_on(old):
    """It is complete: nobody is asked. Stricter, it judges again what is recorded."""
    build = (
        *("traces", "build", "faces", *PROTOCOL, "--evidence", "evidence", *NOWHERE),
        *("--canvas", 48, "--format-retries", 1, "--label-retries", 5, "--out", "built"),
    )
    assert old.run("traces", "status", "built") in old.run(*build, "--no-export")
    told = old.run(*build, "--min-grounding", 0.9, "--format-retries", 0, "--no-export")
    assert "ungrounded" in told


@pytest.mark.stack
def test_sft_parquet_is_trained_on(old, pytestconfig):
    pytest.importorskip("verl")
    base = pytestconfig.rootpath / "recipes" / "tiny_vlm" / "base"
    arguments = ("--model", base, "--max-length", 2048, "--out", "mixed")
    told = old.run("sft-data", "built/traces:2", "data", *arguments)
    assert "rows in an epoch" in told
