"""Made faces: deterministic, in RAF-DB's layout, readable by the loaders of the real thing."""

from __future__ import annotations

import numpy as np
import pytest

from tag_rewards.datasets.made_faces.dataset import make_face, sample_intensities, write_dataset
from tag_rewards.datasets.made_faces.drawing import draw, random_look
from tag_rewards.datasets.made_faces.shape import DRAWN_AUS, move, neutral_shape
from tag_rewards.datasets.rafdb import RAFDB_LABELS, read_rafdb
from tag_rewards.detectors.observation import activated_aus
from tag_rewards.detectors.openface.csv import read_openface_csv
from tag_rewards.facs import PROTOTYPES
from tag_rewards.geometry import AU_REGIONS, au_box
from tag_rewards.geometry.regions import MIRROR_ORDER, inner_eye_distance


def bytes_of(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_seed_same_bytes_and_a_face_does_not_depend_on_the_count(tmp_path):
    write_dataset(tmp_path / "a", 3, 2, seed=7, size=64)
    write_dataset(tmp_path / "b", 3, 2, seed=7, size=64)
    write_dataset(tmp_path / "more", 5, 2, seed=7, size=64)
    write_dataset(tmp_path / "other", 3, 2, seed=8, size=64)
    a, more = bytes_of(tmp_path / "a"), bytes_of(tmp_path / "more")
    assert a == bytes_of(tmp_path / "b")
    images = [name for name in a if name.endswith((".jpg", ".csv"))]
    assert {name: more[name] for name in images} == {name: a[name] for name in images}
    other = bytes_of(tmp_path / "other")
    assert all(other[name] != a[name] for name in images)


def test_the_loaders_read_back_what_was_drawn(tmp_path):
    write_dataset(tmp_path / "faces", 12, 4, seed=3)
    samples = read_rafdb(tmp_path / "faces").samples
    assert [sample.split for sample in samples].count("train") == 12
    for sample in samples:
        index = int(sample.id.split("_")[1]) - 1
        split = 0 if sample.split == "train" else 1
        face = make_face(np.random.default_rng([3, split, index]))
        [seen] = read_openface_csv(tmp_path / "faces/openface" / f"{sample.path.stem}.csv")
        assert sample.label == face.label
        assert np.abs(seen.landmarks - face.landmarks).max() <= 0.05 + 1e-9  # one decimal
        assert {e.au for e in activated_aus(seen.observation(), top_k=99)} == set(face.intensities)


def test_faces_stay_inside_the_image_with_their_boxes():
    for index in range(60):
        face = make_face(np.random.default_rng([1, index]))
        assert (face.landmarks > 0).all()
        assert (face.landmarks < 112).all()
        assert 12 < inner_eye_distance(face.landmarks) < 30
        for au in face.intensities:
            x1, y1, x2, y2 = au_box(au, face.landmarks)
            assert min(x2, 112) - max(x1, 0) >= 8, au
            assert min(y2, 112) - max(y1, 0) >= 6, au


@pytest.mark.parametrize("label", RAFDB_LABELS.values())
def test_aus_are_the_prototypes_and_at_most_one_distractor(label):
    prototype = set(PROTOTYPES[label])
    rng = np.random.default_rng(0)
    sets = [set(sample_intensities(rng, label)) for _ in range(200)]
    for shown in sets:
        assert len(shown - prototype) <= 1
        assert len(prototype & set(DRAWN_AUS) - shown) <= 1
    assert 0.35 < np.mean([len(shown - prototype) for shown in sets]) < 0.65


def test_expressions_differ_in_their_aus():
    rng = np.random.default_rng(0)
    labels_of: dict[frozenset[int], set[str]] = {}
    for label in RAFDB_LABELS.values():
        for _ in range(300):
            labels_of.setdefault(frozenset(sample_intensities(rng, label)), set()).add(label)
    assert all(len(labels) == 1 for labels in labels_of.values())


def test_the_neutral_shape_is_symmetric_and_every_au_moves_something_symmetrically():
    shape = neutral_shape()
    np.testing.assert_allclose(shape[MIRROR_ORDER] * (-1, 1), shape, atol=1e-12)
    for au in DRAWN_AUS:
        assert au in AU_REGIONS
        moved = move(shape, {au: 1.0})
        assert np.abs(moved - shape).max() > 0.04
        np.testing.assert_allclose(moved[MIRROR_ORDER] * (-1, 1), moved, atol=1e-12)


@pytest.mark.parametrize("au", DRAWN_AUS)
def test_every_au_is_visible_where_its_region_is(au):
    """Most of what an AU changes in the picture lies in the AU's box and its neighbourhood."""
    frame = neutral_shape() * 20 + (56, 46)
    with_au = move(neutral_shape(), {au: 1.0}) * 20 + (56, 46)
    look = random_look(np.random.default_rng(5))
    calm = draw(frame, {}, look, 112, np.random.default_rng(0)).astype(float)
    shown = draw(with_au, {au: 1.0}, look, 112, np.random.default_rng(0)).astype(float)
    change = np.abs(shown - calm).sum(axis=2)
    change[change < 30] = 0
    assert change.max() > 60
    x1, y1, x2, y2 = au_box(au, with_au)
    rows, columns = np.mgrid[:112, :112]
    margin = 8
    near = (columns >= x1 - margin) & (columns <= x2 + margin)
    near &= (rows >= y1 - margin) & (rows <= y2 + margin)
    assert change[near].sum() > 0.6 * change.sum()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"n_train": 0, "n_test": 0}, "ask for one face or more"),
        ({"n_train": -1, "n_test": 2}, "ask for one face or more"),
        ({"n_train": 1, "n_test": 1, "size": 8}, "size=8 pixels is too small"),
    ],
)
def test_senseless_sizes_are_refused(tmp_path, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        write_dataset(tmp_path / "x", **arguments)
    assert not (tmp_path / "x").exists()


def test_the_current_folder_has_no_name_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "faces").mkdir()
    monkeypatch.chdir(tmp_path / "faces")
    write_dataset(".", 1, 1, size=32)
    assert len(read_rafdb(tmp_path / "faces").samples) == 2


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty"):
        write_dataset(tmp_path, 1, 1)
    assert (tmp_path / "note.txt").read_text() == "mine"


def stop():
    raise KeyboardInterrupt


@pytest.mark.parametrize("is_there", [False, True])
def test_a_stopped_run_leaves_nothing(tmp_path, is_there):
    root = tmp_path / "faces"
    if is_there:
        root.mkdir()
    before = list(tmp_path.rglob("*"))
    with pytest.raises(KeyboardInterrupt):
        write_dataset(root, 2, 1, size=32, on_face=stop)
    assert list(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("is_there", [False, True])
def test_a_killed_run_leaves_nothing_under_the_final_name(tmp_path, monkeypatch, is_there):
    root = tmp_path / "faces"
    if is_there:
        root.mkdir()
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # killed: nobody cleans up
    with pytest.raises(KeyboardInterrupt):
        write_dataset(root, 2, 1, size=32, on_face=stop)
    assert list(tmp_path.rglob("*_aligned.jpg"))
    with pytest.raises(ValueError, match="list_patition_label"):
        read_rafdb(root)
    monkeypatch.undo()
    write_dataset(root, 2, 1, size=32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces"]
    assert sorted(path.name for path in root.iterdir()) == ["EmoLabel", "Image", "openface"]
    assert len(read_rafdb(root).samples) == 3


def test_an_empty_folder_that_cannot_be_removed_is_filled(tmp_path, monkeypatch):
    """A mount point: its parent refuses every change, and it is another file system."""
    root = tmp_path / "faces"
    root.mkdir()
    inode = root.stat().st_ino

    def refuse(*_, **__):
        raise OSError("Device or resource busy")

    monkeypatch.setattr("pathlib.Path.rmdir", refuse)
    tmp_path.chmod(0o555)
    try:
        write_dataset(root, 2, 1, size=32)
    finally:
        tmp_path.chmod(0o755)
    assert root.stat().st_ino == inode
    assert sorted(path.name for path in root.iterdir()) == ["EmoLabel", "Image", "openface"]
    assert len(read_rafdb(root).samples) == 3
