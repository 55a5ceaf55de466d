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
    project.told("faces")
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
    told = project.run("datasets")
    told += project.run("datasets", "check", "made-faces/test", "faces", needs=["faces"])
    golden("datasets.txt", told)


PREPARED = {
    "data": None,
    "large": (
        *OPENFACE,
        "--canvas",
        300,
        "--box-space",
        "normalized_1000",
        "--top-k",
        3,
        "--polygons",
    ),
    "imprecise": (
        *(
            *OPENFACE,
            "--canvas",
            112,
            "--box-space",
            "resized",
            "--min-probability",
            0.5,
            "--seed",
            7,
        ),
        *("--sft-box-jitter", 0.1, "--sft-box-growth", 0.25, "--sft-au-error", 0.4),
        *("--prompt", "short", "--seed", 7),
    ),
    "annotated": ("--evidence", "evidence", "--canvas", 64, "--quality", "quality.parquet"),
}


@pytest.mark.parametrize("name", PREPARED)
def test_prepare(project, golden, rows, name):
    options = PREPARED[name]
    if options:
        needs = ["evidence", "quality"] if "--evidence" in options else ["faces"]
        told = project.run("prepare", "faces", *PROTOCOL, *options, "--out", name, needs=needs)
    else:
        told = project.told("data")
    records = []
    for path in sorted((project / name).glob("*.parquet")):
        records += [[path.name, row] for row in rows(path)]
    report = json.loads((project / name / "prepare.json").read_text())
    golden(f"prepare-{name}.txt", f"{told}{json.dumps(report, indent=1, ensure_ascii=False)}\n")
    golden(f"prepare-{name}.jsonl", records)


def test_annotate(project, golden, rows, listing):
    told = project.told("evidence")
    files = sorted((project / "evidence").glob("*.parquet"))
    golden("annotate.txt", told + listing(project / "evidence"))
    golden("annotate.jsonl", rows(*files, without=["version"])[:10])


def test_annotate_with_dlib(project, golden, rows, photograph):
    (project / "photos").mkdir()
    (project / "photos" / "a.jpg").write_bytes(photograph)
    (project / "photos" / "b.jpg").write_bytes(b"no image")
    told = project.run("annotate", "photos", "--detector", "dlib", "--out", "seen", "--no-cache")
    found = rows(*sorted((project / "seen").glob("*.parquet")), without=["version"])
    golden("annotate-dlib.jsonl", [*told.splitlines(), *found])


def test_quality(project, golden, rows):
    golden("quality.txt", project.told("quality"))
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
        scores = project.run("score", "answer.txt", "--target", "target.json")
        told += f"{name}\n{scores}\n"
    golden("score.txt", told)


@pytest.mark.parametrize("name", ["sft", "grpo", "dataset", "asked"])
def test_eval(project, golden, rows, name):
    told = project.told(f"eval {name}")
    folder = project / "results" / name
    results = without(json.loads((folder / "results.json").read_text()), "versions")
    golden(f"eval-{name}.txt", told)
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
    both = ("results/sft", "results/grpo", "--resamples", 300)
    golden("compare.txt", project.run("compare", *both, needs=["eval sft", "eval grpo"]))


def test_eval_table(project, golden):
    both = ("results/grpo", "results/dataset", "--resamples", 300)
    golden("eval-table.txt", project.run("eval-table", *both, needs=["eval grpo", "eval dataset"]))


def test_generate(project, golden):
    """The completions of a model behind an endpoint, with parts of the faces hidden too."""
    lines = project.told("asked").splitlines()
    for name in ("completions.jsonl", "counterfactual.jsonl"):
        answers = map(json.loads, (project / "asked" / name).read_text().splitlines())
        lines += [without(answer, "seconds") for answer in answers]
    golden("generate.jsonl", lines)


def test_report(project, golden, page, listing):
    out = project / "report"
    told = project.run(
        *("report", "results/sft", "results/grpo", "--run", "run", "--out", "report"),
        needs=["eval sft", "eval grpo"],
    )
    golden("report.txt", page(out / "index.html"))
    told += listing(out)
    for path in sorted(out.glob("*.csv")):
        lines = path.read_text().splitlines()
        told += "\n".join([path.name, *(one for one in lines if not one.startswith("versions,"))])
        told += "\n\n"
    golden("report-tables.txt", told)


def test_summarize(project, golden, listing):
    told = project.run("summarize", "run", "--data", "data", needs=["data"])
    golden("summarize.md", (project / "run" / "summary.md").read_text())
    golden("summarize.jsonl", (project / "run" / "metrics.jsonl").read_text())
    golden("summarize.txt", told + listing(project / "run"))


# --- traces ------------------------------------------------------------------------------------

BUILDS = {
    "blind": ("--label-retries", 4),
    "rationalised": ("--mode", "rationalised", "--split", "train", "--top-k", 2),
}


@pytest.mark.parametrize("name", BUILDS)
def test_traces_build(project, golden, rows, listing, name):
    build = (
        *("traces", "build", "faces", *PROTOCOL, *OPENFACE, "--model", "writer", "--out", name),
        *("-o", "url=URL", "--canvas", 64, "--format-retries", 1, *BUILDS[name]),
    )
    stricter = ("--min-grounding", 0.7, "--format-retries", 0)  # what is recorded is judged again
    told = [
        project.run(*build, "--no-export", needs=["faces"]),
        project.run("traces", "export", name, "--held-out", 0.3, "--prompt", "short"),
        project.run(*build, *stricter, "--no-export"),
        project.run("traces", "status", name),
        listing(project / name / "traces"),
    ]
    golden(f"traces-{name}.txt", "\n".join(told))
    golden(f"traces-{name}.md", (project / name / "traces" / "README.md").read_text())
    golden(f"traces-{name}.jsonl", _exported(project / name / "traces", rows))


def _exported(folder, rows):
    return [
        [path.name, row]
        for path in sorted(folder.glob("*.parquet"))
        for row in rows(path, without=["seconds"])
    ]
