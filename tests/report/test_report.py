"""The report as a file: what is in it, that it needs nothing else, and that it trusts no text."""

import base64
import csv
import hashlib
import io
import itertools
import json
import re
from functools import partial

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tag_rewards.cli import app
from tag_rewards.errors import InputError
from tag_rewards.evaluation.measures import MEASURES
from tag_rewards.report.report import INDEX, write_report
from tag_rewards.report.tables import pair_in_short, pairs, read_entries
from tests.builders.page_reader import read_page
from tests.builders.results import (
    LABELS,
    figure,
    made,
    made_samples,
    sample,
    smile,
    write_made,
    write_run,
)
from tests.builders.trace import honest, loop, step


def report(tmp_path, *folders, run=None):
    write_report(folders, tmp_path / "report", run)
    return read_page((tmp_path / "report" / INDEX).read_text(encoding="utf-8"))


TWO = ("sft", "grpo")


def write_two(root):
    """Two models on one protocol; the second is better."""
    counterfactual = {"claimed": figure(0.4), "elsewhere": figure(0.1)}
    grpo = made("grpo", 0.8, 0.7, counterfactual=counterfactual)
    return [write_made(root / "sft"), write_made(root / "grpo", grpo)]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The folder of a report of two models and a run."""
    root = tmp_path_factory.mktemp("both")
    write_report(write_two(root), root / "report", write_run(root / "run"))
    return root / "report"


@pytest.fixture(scope="module")
def page(both):
    return read_page((both / INDEX).read_text(encoding="utf-8"))


def rows(page, name):
    """The cells of the table with this id, row by row."""
    [table] = [
        t
        for t in page.all("table")
        if any(e.attributes.get("id") == f"table-{name}" for e in t.all())
    ]
    return [
        [" ".join(cell.text.split()) for cell in row.children if cell.tag in ("th", "td")]
        for row in table.all("tr")
    ]


def test_the_page_begins_with_what_came_out(both, page):
    [short] = [one for one in page.all("section") if one.attributes["id"] == "short"]
    [sentence] = [
        one.text for one in page.one("header").all("p") if one.attributes["class"] == "verdict"
    ]
    assert sentence == pair_in_short(pairs(read_entries([both.parent / n for n in TWO])).tables[0])
    assert sentence.startswith("grpo against sft: ")
    drawings = [one.attributes["aria-label"] for one in short.all("svg")]
    assert drawings[0].startswith("The headline figures")
    faces = {drawing.partition(".")[0] for drawing in drawings[1:]}
    assert (len(faces), len(drawings)) == (1, 3)  # one face, by both models


def test_one_result_begins_with_its_verdict(tmp_path):
    page = report(tmp_path, write_made(tmp_path / "sft"))
    [sentence] = [p.text for p in page.all("p") if p.attributes.get("class") == "verdict"]
    assert sentence.startswith("sft: Mean IoU 0.")


def test_an_older_report_in_the_folder_goes_and_other_files_stay(tmp_path):
    folders = write_two(tmp_path)
    out = tmp_path / "report"
    write_report(folders, out)
    assert (out / "confusion-sft.png").exists()
    (out / "notes-sft.csv").write_text("mine")
    write_report(folders[1:], out)
    left = sorted(path.name for path in out.iterdir() if "sft" in path.name)
    assert left == ["notes-sft.csv"]
    assert (out / "confusion-grpo.png").exists()


@pytest.mark.parametrize("of_another", ["", '<ul class="files"><li><a href="../x.csv">'])
def test_a_page_that_is_no_report_says_nothing_of_its_files(tmp_path, of_another):
    out = tmp_path / "report"
    out.mkdir()
    (tmp_path / "x.csv").write_text("mine")
    (out / "x.csv").write_text("mine")
    (out / INDEX).write_text(f'{of_another}<a href="x.csv">x</a>')
    write_report([write_made(tmp_path / "sft")], out)
    assert (tmp_path / "x.csv").exists()
    assert (out / "x.csv").exists() is not bool(of_another)


def test_tables_are_written_for_latex(both):
    text = (both / "classification.tex").read_text(encoding="utf-8")
    assert "accuracy $\\uparrow$ & 0.625 [0.575, 0.675] & 0.800 [0.750, 0.850] \\\\" in text
    tables = {path.stem for path in both.glob("*.csv")}
    assert {path.stem for path in both.glob("*.tex")} == tables
    drawings = {p.stem for p in both.glob("*.png") if not p.stem.startswith("faces-")}
    assert {p.stem for p in both.glob("*.svg")} == drawings


def test_the_figures_are_in_the_tables(page):
    classification = rows(page, "classification")
    assert ["", "sft", "grpo"] in classification
    assert ["accuracy ↑", "0.625[0.575, 0.675]", "0.800[0.750, 0.850]"] in classification
    assert ["accuracy ↑", "0.675[0.625, 0.725]", "0.850[0.800, 0.900]"] in classification
    assert ["parse failures", "3", "3"] in classification
    faithfulness = rows(page, "faithfulness-grpo")
    assert faithfulness[0] == ["", "grpo", "random boxes", "mean boxes", "whole face"]
    assert faithfulness[1][1:] == [
        "0.700[0.650, 0.750]",
        "0.050[0.000, 0.100]",
        "0.400[0.350, 0.450]",
        "0.100[0.050, 0.150]",
    ]
    assert ["AU precision ↑", "0.700[0.650, 0.750]", "told", "told", "told"] in faithfulness
    assert ["AU12 lip corner puller", "0.600[0.550, 0.650]", "8", "8", "8"] in rows(
        page, "aus-grpo"
    )
    assert ["AU17 chin raiser", "–", "0", "2", "0"] in rows(page, "aus-grpo")
    assert rows(page, "classes-sft")[1][2] == "–"
    assert rows(page, "counterfactual")[1] == ["claimed boxes hidden", "0.400[0.350, 0.450]"]
    assert rows(page, "overview")[1][1:] == ["made-faces/test"] * 2


def test_rows_of_the_confusion_matrix_are_the_truth(page):
    matrix = rows(page, "confusion-sft")
    assert matrix[0][1:] == ["neutral", "happiness", "sadness", "no answer"]
    assert matrix[3] == ["sadness", "00 %", "125 %", "250 %", "125 %"]


def test_there_may_be_nothing_to_be_faithful_to(tmp_path):
    nothing = dict.fromkeys(MEASURES)
    results = made(faithfulness={"model": nothing, "random boxes": nothing}, by_au=())
    page = report(tmp_path, write_made(tmp_path / "sft", results, gallery=False))
    assert "no face with evidence" in page.one("section", id="faithfulness").text
    assert rows(page, "faithfulness-sft")[1] == ["mean AU-IoU ↑", "–", "–"]


def test_what_is_not_there_is_left_out(tmp_path):
    page = report(tmp_path, write_made(tmp_path / "sft"))
    sections = {section.attributes["id"] for section in page.all("section")}
    assert sections.isdisjoint({"pairs", "across", "curves"})
    links = {a.attributes["href"] for a in page.one("nav").all("a")}
    assert links == {f"#{name}" for name in sections}
    assert not [e for e in page.all() if e.attributes.get("id") == "counterfactual"]


def test_models_on_the_same_faces_are_compared(page):
    table = rows(page, "pair-sft-grpo")
    assert table[0] == ["", "sft", "grpo", "change", "p", "adjusted p", "verdict"]
    [accuracy] = [row for row in table if row[0] == "accuracy ↑"]
    # Both have the same rows, whatever their figures say.
    assert accuracy[1:3] == ["0.750", "0.750"]
    assert accuracy[3].startswith("+0.000[")
    assert accuracy[4:] == ["1.0000", "1.0000", "no clear change"]
    assert "adjusted p below 0.05" in page.one("section", id="pairs").text


def test_models_on_other_faces_are_not_compared_and_the_report_says_why(tmp_path):
    folders = [
        write_made(tmp_path / n, samples=made_samples(count)) for n, count in (("a", 8), ("b", 5))
    ]
    page = report(tmp_path, *folders)
    assert "Not compared: 3 faces" in page.one("section", id="pairs").text


def test_one_model_over_several_protocols(tmp_path):
    first = write_made(tmp_path / "a", made("m"), gallery=False)
    second = write_made(tmp_path / "b", made("m", protocol="rafdb/basic-test"), gallery=False)
    table = rows(report(tmp_path, first, second), "across-a")
    assert table[0] == ["", "made-faces/test", "rafdb/basic-test", "pooled"]
    assert table[1] == ["faces", "8", "8", "16"]


def test_mismatches_and_missing_completions_are_said_first(tmp_path):
    results = made(mismatches=("test has 5 faces, not 6 <as> published",))
    page = report(tmp_path, write_made(tmp_path / "sft", results, gallery=False))
    notes = [e.text for e in page.all("p") if e.attributes.get("role") == "note"]
    assert "5 faces, not 6 <as> published" in notes[0]
    assert "2 of 8 faces have no completion" in notes[1]


def test_curves_of_a_run(page):
    [curve] = page.one("section", id="curves").all("svg")
    assert curve.attributes["aria-label"] == (
        "format reward over the steps: 0.00 at step 0, 1.00 at step 10"
    )


def test_the_gallery_has_each_face_once_in_a_fixed_order(tmp_path):
    page = report(tmp_path, write_made(tmp_path / "sft", samples=made_samples(30)))
    cards = list(page.one("ol", id="gallery-sft").all("li"))
    cards = [card for card in cards if "data-id" in card.attributes]
    shown = [card.attributes["data-id"] for card in cards]
    assert shown[:2] == ["face_000", "face_001"]
    assert len(set(shown)) == len(shown)
    badges = [[e.text for e in card.one("p", **{"class": "badges"}).children] for card in cards]
    assert badges[:2] == [["best 1"], ["best 2", "random 1"]]
    assert badges[shown.index("face_029")] == ["worst 1"]
    assert [card.attributes["data-order"] for card in cards] == [
        str(n) for n in range(1, len(cards) + 1)
    ]
    first = cards[0]
    assert "✓ sadness: right" in cards[1].text
    assert "✗ neutral: wrong, it is happiness" in cards[2].text
    assert first.one("svg").attributes["aria-label"] == (
        "face_000. AU12 lip corner puller: 0.91, claimed, IoU 1.00; "
        "AU6 cheek raiser: 0.72, claimed, IoU 1.00"
    )
    dashed = [e for e in first.all("rect") if "dashed" in e.attributes.get("class", "")]
    assert len(dashed) == 2 * 2
    assert honest(smile()) in first.one("pre").text


def test_without_images_the_gallery_says_what_to_do(tmp_path):
    page = report(tmp_path, write_made(tmp_path / "sft", gallery=False))
    assert "run tag-rewards eval again" in page.one("section", id="gallery").text
    assert not list((tmp_path / "report").glob("faces-*"))


HOSTILE = [
    "<script>alert(1)</script>",
    '</pre></li></ol><img src="https://example.com/x.png" onerror="alert(1)">',
    '"><svg onload=alert(1)><style>*{display:none}</style>',
    "{{ 7 * 7 }}{% raw %}${alert(1)}",
    "<!-- <a href='javascript:alert(1)'> &lt;b&gt; ]]> </html>",
    "nul \x00 bell \x07 reorder \u202e\u2066 broken \ud800 end",
    loop(*(step(12, (n / 9, 2, 60, 40)) for n in range(400))),
    loop(step(99, "-9e9,-5,9e9,5")),
    "x" * 30_000,
]


def test_nothing_that_a_model_writes_is_more_than_text(tmp_path, page):
    rows = [
        sample(f"<b>{n}</b> \"'&", smile(n), text.encode(errors="replace").decode())
        for n, text in enumerate(HOSTILE)
    ]
    folder = write_made(tmp_path / "hostile", samples=rows)
    tags = {element.tag for element in page.all()}
    page = report(tmp_path, folder)
    assert {element.tag for element in page.all()} <= tags
    assert len(list(page.all("script"))) == len(list(page.all("style"))) == 1
    assert not [a for e in page.all() for a in e.attributes if a.startswith("on")]
    texts = [e.text for e in page.all("pre")]
    for text in HOSTILE[:5]:
        assert text in texts
    assert "nul \ufffd bell \ufffd reorder \ufffd\ufffd broken ? end" in texts
    assert "49" not in texts[3]
    assert "and 26000 characters more" in page.text
    assert "and 376 boxes more" in page.text
    assert "<b>0</b> \"'&" in [e.text for e in page.all("h4")]


def places(value):
    """For every text of a JSON value, keys among them, how to put another into its place."""
    if isinstance(value, dict):
        for key, inner in list(value.items()):
            yield lambda new, key=key: value.update({new: value.pop(key)})
            if isinstance(inner, str):
                yield partial(value.__setitem__, key)
            yield from places(inner)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if isinstance(inner, str):
                yield partial(value.__setitem__, index)
            yield from places(inner)


def mutated(folder, hostile):
    """How many texts of results were replaced: every one that still leaves results."""
    path, count = folder / "results.json", 0
    for number, _ in enumerate(list(places(json.loads(path.read_text())))):
        before = path.read_text()
        record = json.loads(before)
        list(places(record))[number](f"{hostile}{number}")
        path.write_text(json.dumps(record))
        try:
            read_entries([folder])
            count += 1
        except InputError:
            path.write_text(before)
    return count


@pytest.mark.parametrize("hostile", HOSTILE[:5], ids=range(5))
def test_every_value_of_results_is_data(tmp_path, page, hostile):
    """Names, labels, versions, settings, reasons and ids, wherever they are shown."""
    rows = [sample(f"{hostile}{n}", smile(n), hostile, LABELS[n % 3], n / 4) for n in range(4)]
    labels = tuple(f"{n}{hostile}" for n in range(3))
    folders = [
        write_made(tmp_path / "one", made(mismatches=("x",)), rows),
        write_made(
            tmp_path / hostile.replace("/", "")[:80], made(labels=labels), rows, gallery=False
        ),
    ]
    assert mutated(folders[0], hostile) > 20
    mutated_page = report(tmp_path, *folders)
    assert {element.tag for element in mutated_page.all()} <= {
        element.tag for element in page.all()
    }
    for tag in ("script", "style", "meta", "link"):
        assert len(list(mutated_page.all(tag))) == len(list(page.all(tag)))
    known = {name for element in page.all() for name in element.attributes}
    assert {name for element in mutated_page.all() for name in element.attributes} <= known
    beside = {path.name for path in (tmp_path / "report").iterdir()}
    for element in mutated_page.all():
        for name in ("href", "src"):
            value = element.attributes.get(name, "#")
            assert value.startswith(("#", "data:")) or value in beside
    assert hostile in mutated_page.text
    for path in (tmp_path / "report").glob("*.csv"):
        for line in csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")):
            assert not [cell for cell in line if cell.startswith(("=", "@"))]


def test_the_policy_is_of_this_page(page):
    """Its style and its script by their content; nothing is fetched from anywhere."""
    text = page.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    policy = dict(directive.split(" ", 1) for directive in text.split("; "))
    for tag, directive in (("script", "script-src"), ("style", "style-src-elem")):
        digest = hashlib.sha256(page.one(tag).text.encode()).digest()
        assert policy[directive] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["img-src"] == "data:"


def test_the_page_needs_nothing_else(page, both):
    beside = {path.name for path in both.iterdir()}
    for element in page.all():
        for name in ("src", "href", "xlink:href", "action", "poster", "srcset", "data"):
            value = element.attributes.get(name, "#")
            assert value.startswith(("#", "data:")) or value in beside, element
    text = (both / INDEX).read_text(encoding="utf-8")
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    policy = page.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    assert policy.startswith("default-src 'none'")
    ids = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(set(ids)) == len(ids)


def test_the_page_can_be_read_by_those_who_do_not_see_it(page, both):
    levels = [int(e.tag[1]) for e in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for table in page.all("table"):
        assert table.children[0].tag == "caption"
        assert all("scope" in head.attributes for head in table.all("th"))
    for picture in page.all("svg"):
        assert picture.attributes["role"] == "img"
        assert picture.attributes["aria-label"]
    named = {e.attributes.get("for") for e in page.all("label")}
    assert all(select.attributes["id"] in named for select in page.all("select"))
    assert page.one("html").attributes["lang"] == "en"


def test_tables_and_figures_lie_beside_the_page(page, both):
    listed = {a.attributes["href"] for a in page.one("section", id="files").all("a")}
    assert listed == {path.name for path in both.iterdir()} - {INDEX}
    pictures = {path.stem: cv2.imread(str(path)) for path in both.glob("*.png")}
    assert pictures.keys() == {
        *(
            "headline",
            "au-iou",
            "confusion-sft",
            "confusion-grpo",
            "faces-sft",
            "faces-grpo",
            "curves",
        )
    }
    assert all(np.std(picture) > 1 for picture in pictures.values())
    for path in both.glob("*.csv"):
        lines = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        assert len(lines) > 1
        assert len({len(line) for line in lines}) == 1
    main = (both / "classification.csv").read_text(encoding="utf-8").splitlines()
    assert main[0].startswith("group,,sft,sft low,sft high,sft n,grpo")
    assert (
        main[1]
        == "parser: strict,accuracy\u00a0↑,0.625,0.575,0.675,8,0.8,0.75,0.8500000000000001,8"
    )
    shares = (both / "confusion-sft-shares.csv").read_text(encoding="utf-8").splitlines()
    assert shares[2] == "happiness,0.25,0.75,0.0,0.0"


def test_the_same_results_give_the_same_report(tmp_path):
    folder = write_made(tmp_path / "sft", samples=made_samples(3))
    first, second = (write_report([folder], tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_names_may_be_the_same_or_strange(tmp_path):
    folders = [
        write_made(tmp_path / "a" / "eval", gallery=False),
        write_made(tmp_path / "b" / "eval", gallery=False),
        write_made(tmp_path / "b" / "$x_{1}$ <i>", gallery=False),
        write_made(tmp_path / "b" / "§§", gallery=False),
        write_made(tmp_path / "b" / "c\x07", samples=made_samples(1)),
    ]
    page = report(tmp_path, *folders)
    assert rows(page, "classification")[0][1:] == [
        "a/eval",
        "b/eval",
        "b/$x_{1}$ <i>",
        "b/§§",
        "b/c\ufffd",
    ]
    ids = [e.attributes["id"] for e in page.all() if "id" in e.attributes]
    assert len(set(ids)) == len(ids)


def refused(*arguments):
    result = CliRunner().invoke(app, ["report", *map(str, arguments)])
    assert isinstance(result.exception, InputError), result.output
    return str(result.exception)


def test_what_is_no_folder_of_results_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "photos").mkdir()
    good = write_made(tmp_path / "sft")
    out = tmp_path / "report"
    assert refused(good, tmp_path / "photos", "--out", out) == (
        f"{tmp_path}/photos/results.json does not exist; "
        "give a folder that `tag-rewards eval` wrote"
    )
    assert "is given twice" in refused(good, good, "--out", out)
    assert "metrics.jsonl is missing" in refused(good, "--run", tmp_path, "--out", out)
    broken = write_made(tmp_path / "broken", samples=[sample("f", smile(), "")])
    gallery = broken / "gallery.parquet"
    gallery.write_bytes(b"no parquet")
    assert "is not a parquet file" in refused(broken, "--out", out)
    assert not out.exists()


def test_an_image_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.builders.results.image", lambda _: b"no image")
    folder = write_made(tmp_path / "sft")
    with pytest.raises(InputError, match=r"gallery\.parquet: the image of 'face_000' cannot be"):
        write_report([folder], tmp_path / "report")


def test_the_command_writes_the_report(tmp_path):
    folder = write_made(tmp_path / "sft", samples=made_samples(1))
    out = tmp_path / "report"
    result = CliRunner().invoke(app, ["report", str(folder), "--out", str(out)])
    assert result.exit_code == 0, result.exception
    assert "index.html and" in result.output
    assert (out / INDEX).exists()
