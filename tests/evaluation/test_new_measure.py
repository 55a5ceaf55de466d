"""A measure is one entry of a table: a new one is everywhere that figures are."""

import json

import pyarrow.parquet as pq
import pytest
from test_evaluate import CONFIG, data, mixed

from tag_rewards.commands.evaluation_tables import (
    comparison_table,
    cross_dataset_table,
    results_tables,
)
from tag_rewards.evaluation.compare import compare_models, cross_dataset, read_model
from tag_rewards.evaluation.measures import MEASURES, Measure
from tag_rewards.evaluation.results import (
    GalleryFace,
    choose,
    write_face_rows,
    write_gallery,
    write_results,
)
from tag_rewards.evaluation.run import evaluate
from tag_rewards.report.tables import faithfulness_table, pairs, read_entries

SHARP = Measure(
    "share of sharp boxes",
    count=lambda of: (of.claims_with(of.claim_iou >= 0.75), of.claims_with(of.claim_au > 0)),
)


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two evaluations with one measure more."""
    monkeypatch.setitem(MEASURES, "sharp_boxes", SHARP)
    of = data(30)
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        results, rows = evaluate(of, mixed(of), None, CONFIG)
        write_results(folder, results)
        write_face_rows(folder, rows)
        images = [GalleryFace(kind, rank, b"", rows[row]) for kind, rank, row in choose(rows)]
        write_gallery(folder, images)
    return folders


def cells(table):
    return {cell for column in table.columns for cell in column.cells}


def test_a_measure_more_is_everywhere(folders):
    figures = json.loads((folders[0] / "results.json").read_text())["faithfulness"]
    assert 0 < figures["model"]["sharp_boxes"]["value"] < 1
    assert 0 <= figures["random boxes"]["sharp_boxes"]["value"] < 0.2
    assert figures["whole face"]["sharp_boxes"]["n"] == 50
    for name in ("samples", "gallery"):
        column = pq.read_table(folders[0] / f"{name}.parquet")["sharp_boxes"]
        shares = [value for value in column.to_pylist() if value is not None]
        assert set(shares) <= {0, 1 / 3, 1 / 2, 2 / 3, 1}
    model, other = map(read_model, folders)
    tables = [*results_tables(model.results)]
    comparison = compare_models(model, other, 200)
    tables += [comparison_table(comparison, "a", "b"), cross_dataset_table(cross_dataset([model]))]
    assert [SHARP.words in cells(table) for table in tables if not isinstance(table, str)] == [
        *(False, False, True),
        *(True, True),
    ]
    entries = read_entries(folders)
    [pair] = pairs(entries).tables
    for table in (faithfulness_table(entries[0]), pair):
        assert f"{SHARP.words}\u00a0↑" in {row[0] for group in table.groups for row in group.rows}


def test_results_without_it_show_it_as_absent(folders, monkeypatch):
    monkeypatch.delitem(MEASURES, "sharp_boxes")
    *_, warning = read_model(folders[0]).results.warnings
    assert "sharp_boxes is not known to this one" in warning
    monkeypatch.setitem(MEASURES, "later", SHARP)
    model = read_model(folders[0])
    assert model.results.figures["later"] is None
    *_, faithfulness, _ = results_tables(model.results)
    assert list(faithfulness.columns[1].cells)[-1] == "-"
    compared = {one.name for one in compare_models(model, read_model(folders[1]), 200).differences}
    assert "mean_iou" in compared
    assert "later" not in compared
