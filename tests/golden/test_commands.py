"""What the commands print and write, number for number, on twenty made faces.

A model's completions and a run's folder lie in `inputs/`. Each test enters through the command
line and reads files that a user reads, so that nothing here depends on where code lies.
`GOLDEN_UPDATE=1 pytest tests/golden` writes the goldens anew; a number that moved needs a line in
CHANGELOG.md.
"""

import json

import pytest

OPENFACE = ("--openface", "faces/openface")
PROTOCOL = ("--protocol", "made-faces/test")


def without(record, *names):
    return {name: value for name, value in record.items() if name not in names}


# --- faces and data ----------------------------------------------------------------------------


def test_made_faces(project, golden, picture):
    faces = project / "faces"
    records = [["label", line] for line in (faces / "EmoLabel" / "list_patition_label.txt").open()]
    images = sorted((faces / "Image" / "aligned").iterdir())
    records += [[path.name, picture(path.read_bytes())] for path in images]
    for path in sorted((faces / "openface").iterdir()):
        header, *lines = path.read_text().splitlines()
        fields = [name.strip() for name in header.split(",")]
        [values] = [line.split(",") for line in lines]
        cells = {name: float(value) for name, value in zip(fields, values, strict=True)}
        aus = {name: value for name, value in cells.items() if name.startswith("AU") and value}
        points = [value for name, value in cells.items() if name[:2] in {"x_", "y_"}]
        records.append([path.name, len(fields), sum(map(round, points)), aus])
    golden("made-faces.jsonl", records)


def test_datasets(project, golden):
    project.run("datasets", "datasets")
    project.run("check", "datasets", "check", "made-faces/test", "faces")
    golden("datasets.txt", project.told["datasets"] + project.told["check"])


PREPARED = {
    "data": None,
    "large": ("--canvas", 300, "--box-space", "normalized_1000", "--top-k", 3, "--polygons"),
    "imprecise": (
        *("--canvas", 112, "--box-space", "resized", "--min-probability", 0.5, "--seed", 7),
        *("--sft-box-jitter", 0.1, "--sft-box-growth", 0.25, "--sft-au-error", 0.4),
        *("--prompt", "short"),
    ),
    "annotated": ("--evidence", "evidence", "--canvas", 64, "--quality", "quality.parquet"),
}


@pytest.mark.parametrize("name", PREPARED)
def test_prepare(project, golden, rows, name):
    options = PREPARED[name]
    if options:
        source = () if "--evidence" in options else OPENFACE
        project.run(name, "prepare", "faces", *PROTOCOL, *source, *options, "--out", name)
    told = project.told[name if options else "prepare"]
    records = []
    for path in sorted((project / name).glob("*.parquet")):
        records += [[path.name, row] for row in rows(path)]
    report = json.loads((project / name / "prepare.json").read_text())
    golden(f"prepare-{name}.txt", f"{told}{json.dumps(report, indent=1, ensure_ascii=False)}\n")
    golden(f"prepare-{name}.jsonl", records)


def test_annotate(project, golden, rows, listing):
    files = sorted((project / "evidence").glob("*.parquet"))
    golden("annotate.txt", project.told["annotate"] + listing(project / "evidence"))
    golden("annotate.jsonl", rows(*files, without=["version"])[:10])


def test_annotate_with_dlib(project, golden, rows, photograph):
    pytest.importorskip("dlib")
    (project / "photos").mkdir()
    (project / "photos" / "a.jpg").write_bytes(photograph)
    (project / "photos" / "b.jpg").write_bytes(b"no image")
    arguments = ("--detector", "dlib", "--out", "seen", "--no-cache")
    project.run("dlib", "annotate", "photos", *arguments)
    found = rows(*sorted((project / "seen").glob("*.parquet")), without=["version"])
    golden("annotate-dlib.jsonl", [*project.told["dlib"].splitlines(), *found])


def test_quality(project, golden, rows):
    golden("quality.txt", project.told["quality"])
    # NumPy's versions differ in the last digit of a variance.
    golden(
        "quality.jsonl",
        [
            {k: float(f"{v:.12g}") if isinstance(v, float) else v for k, v in row.items()}
            for row in rows(project / "quality.parquet")
        ],
    )


# --- scores and figures ------------------------------------------------------------------------


def test_score(project, golden, inputs):
    """As `tests/golden/test_scores.py`, printed, with what is wrong in the text."""
    texts = json.loads((inputs / "texts.json").read_text())
    targets = json.loads((inputs / "targets.json").read_text())
    told = ""
    for name in ("honest, smile", "boxes a little off", "cut in the middle", "NaN and infinity"):
        (project / "answer.txt").write_text(texts[name]["text"])
        (project / "target.json").write_text(json.dumps(targets[texts[name]["target"]]))
        project.run("score", "score", "answer.txt", "--target", "target.json")
        told += f"{name}\n{project.told['score']}\n"
    golden("score.txt", told)


EVALUATED = ("sft", "grpo", "dataset", "asked")


@pytest.mark.parametrize("name", EVALUATED)
def test_eval(project, golden, rows, name):
    folder = project / "results" / name
    results = without(json.loads((folder / "results.json").read_text()), "versions")
    golden(f"eval-{name}.txt", project.told[f"eval {name}"])
    golden(f"eval-{name}.json", json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    golden(f"eval-{name}.jsonl", rows(folder / "samples.parquet"))
    golden(
        f"eval-{name}-gallery.jsonl",
        [
            [row["kind"], row["rank"], row["id"], row["image"], row["score"]]
            for row in rows(folder / "gallery.parquet")
        ],
    )


def test_compare(project, golden):
    project.run("compare", "compare", "results/sft", "results/grpo", "--resamples", 300)
    golden("compare.txt", project.told["compare"])


def test_eval_table(project, golden):
    project.run("table", "eval-table", "results/grpo", "results/dataset", "--resamples", 300)
    golden("eval-table.txt", project.told["table"])


def test_generate(project, golden):
    """The completions of a model behind an endpoint, with parts of the faces hidden too."""
    lines = []
    for name in ("completions.jsonl", "counterfactual.jsonl"):
        answers = map(json.loads, (project / "asked" / name).read_text().splitlines())
        lines += [without(answer, "seconds") for answer in answers]
    golden("generate.jsonl", [*project.told["generate"].splitlines(), *lines])


def test_report(project, golden, page, listing):
    out = project / "report"
    project.run(
        "report", "report", "results/sft", "results/grpo", "--run", "run", "--out", "report"
    )
    golden("report.txt", page(out / "index.html"))
    told = project.told["report"] + listing(out)
    for path in sorted(out.glob("*.csv")):
        lines = path.read_text().splitlines()
        told += "\n".join([path.name, *(one for one in lines if not one.startswith("versions,"))])
        told += "\n\n"
    golden("report-tables.txt", told)


def test_summarize(project, golden, listing):
    project.run("summarize", "summarize", "run", "--data", "data")
    golden("summarize.md", (project / "run" / "summary.md").read_text())
    golden("summarize.jsonl", (project / "run" / "metrics.jsonl").read_text())
    golden("summarize.txt", project.told["summarize"] + listing(project / "run"))


# --- traces ------------------------------------------------------------------------------------

BUILDS = {
    "blind": ("--label-retries", 4),
    "rationalised": ("--mode", "rationalised", "--split", "train", "--top-k", 2),
}


@pytest.mark.parametrize("name", BUILDS)
def test_traces_build(project, golden, rows, listing, endpoint, name):
    build = (
        *("traces", "build", "faces", *PROTOCOL, *OPENFACE, "--model", "writer", "--out", name),
        *("-o", f"url={endpoint}", "--canvas", 64, "--format-retries", 1, *BUILDS[name]),
    )
    project.run("build", *build, "--no-export")
    project.run("export", "traces", "export", name, "--held-out", 0.3, "--prompt", "short")
    # Judged again, more strictly.
    project.run("judged", *build, "--min-grounding", 0.7, "--format-retries", 0, "--no-export")
    project.run("status", "traces", "status", name)
    told = [project.told[command] for command in ("build", "export", "judged", "status")]
    golden(f"traces-{name}.txt", "\n".join([*told, listing(project / name / "traces")]))
    golden(f"traces-{name}.md", (project / name / "traces" / "README.md").read_text())
    golden(f"traces-{name}.jsonl", _exported(project / name / "traces", rows))


def _exported(folder, rows):
    return [
        [path.name, row]
        for path in sorted(folder.glob("*.parquet"))
        for row in rows(path, without=["seconds"])
    ]
