"""Annotating a folder: what becomes a row, what a second run does, what is refused."""

import csv
import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from tag_rewards.detectors.observation import FaceObservation
from tag_rewards.detectors.registry import make_detector
from tag_rewards.errors import InputError
from tag_rewards.evidence.counts import count_evidence
from tag_rewards.evidence.of_dataset import EvidenceRows
from tag_rewards.evidence.rows import (
    EvidenceRow,
    evidence_table,
    read_evidence,
    write_evidence_table,
)
from tag_rewards.evidence.run import AnnotateConfig, ImageFolder
from tag_rewards.evidence.shards import EvidenceFolder, Manifest
from tag_rewards.files.images import content_hash, oriented_size, read_image
from tag_rewards.prepare.run import PARQUET_FILES, prepare
from tests.builders.annotation import FakeDetector, records, run, statuses, write_images

WHITE = np.full((20, 30, 3), 255, np.uint8)


def put(path, image=WHITE):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


def test_every_image_has_a_row_and_nothing_else_does(tmp_path):
    images, out = tmp_path / "images", tmp_path / "images" / "evidence"
    put(images / "b" / "same.png")
    put(images / "a" / "same.png")
    put(images / "grün lächeln.PNG")
    put(images / "dark.png", 0 * WHITE)
    put(tmp_path / "elsewhere" / "far.png")
    (images / "link").symlink_to(tmp_path / "elsewhere")
    (images / "loop").symlink_to(images)
    (images / "gone.png").symlink_to(tmp_path / "nothing")
    (images / "text.jpg").write_text("no image")
    (images / "empty.jpg").touch()
    (images / "notes.txt").write_text("other")
    put(images / ".hidden.png")
    put(images / ".cache" / "thumb.png")
    summary = run(images, out)
    assert statuses(out) == {
        "a/same.png": "observed",
        "b/same.png": "observed",
        "dark.png": "no_face",
        "empty.jpg": "failed",
        "gone.png": "failed",
        "grün lächeln.PNG": "observed",
        "link/far.png": "observed",
        "text.jpg": "failed",
    }
    row = records(out)["a/same.png"]
    assert (row["width"], row["height"], row["detector"], row["version"]) == (30, 20, "fake", "1")
    assert summary.statuses == {"observed": 4, "no_face": 1, "failed": 3}
    assert summary.reasons == {"no image": 2, "the file cannot be opened": 1}
    assert (summary.faces, summary.aus, summary.judged) == (4, {12: 4}, {12: 4})
    with (out / "failed.csv").open(newline="") as file:
        failed = list(csv.DictReader(file))
    assert [line["image"] for line in failed] == ["empty.jpg", "gone.png", "text.jpg"]
    assert failed[2]["reason"] == "text.jpg is not an image; replace it"
    # `summary.png` and evidence in the folder itself are not looked at by the next run.
    put(out / "summary.png")
    assert run(images, out).images == 8


def test_a_name_that_no_table_can_hold_is_quarantined(tmp_path):
    put(tmp_path / "images" / "a.png")
    bad = os.fsencode(tmp_path / "images") + b"/\xff.png"
    with open(bad, "wb") as file:
        file.write((tmp_path / "images" / "a.png").read_bytes())
    for _ in range(2):
        run(tmp_path / "images", tmp_path / "out")
        assert statuses(tmp_path / "out") == {"\\xff.png": "failed", "a.png": "observed"}
    assert (
        records(tmp_path / "out")["\\xff.png"]["reason"] == "its name is not UTF-8 text; rename it"
    )


@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 8])
@pytest.mark.parametrize("order", ["little", "big"])
def test_the_size_is_that_of_the_image_as_it_is_read(tmp_path, orientation, order):
    data = cv2.imencode(".jpg", WHITE)[1].tobytes()
    if orientation:
        entry = b"".join(
            number.to_bytes(size, order)
            for number, size in ((1, 2), (0x112, 2), (3, 2), (1, 4), (orientation, 2), (0, 6))
        )
        mark = b"II*\0" if order == "little" else b"MM\0*"
        exif = b"Exif\0\0" + mark + (8).to_bytes(4, order) + entry
        data = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    height, width = read_image(path).shape[:2]
    assert oriented_size(path, data) == (width, height)
    assert (width < height) == (orientation in (6, 8))


def test_the_size_of_other_formats_and_of_no_image(tmp_path):
    for name in ("a.png", "a.bmp", "a.webp"):
        cv2.imwrite(str(tmp_path / name), WHITE)
        assert oriented_size(tmp_path / name, (tmp_path / name).read_bytes()) == (30, 20)
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8")
    assert oriented_size(tmp_path / "a.jpg", b"\xff\xd8") == (0, 0)


def test_a_second_run_looks_at_new_and_changed_images_alone(tmp_path):
    images, log = tmp_path / "images", tmp_path / "log"
    write_images(images, 6)
    run(images, tmp_path / "out", FakeDetector(log=log))
    before = records(tmp_path / "out")
    log.write_text("")
    run(images, tmp_path / "out", FakeDetector(log=log))
    assert log.read_text() == ""
    put(images / "new.png")
    put(images / "a" / "0000.png", 0 * WHITE)
    os.utime(images / "a" / "0002.png")  # touched, with the same content
    run(images, tmp_path / "out", FakeDetector(log=log))
    assert log.read_text().split() == ["0000.png", "new.png"]
    after = records(tmp_path / "out")
    assert after.keys() - before.keys() == {"new.png"}
    assert after["a/0000.png"]["status"] == "no_face"
    unchanged = before.keys() - {"a/0000.png"}
    assert {image: after[image] for image in unchanged} == {
        image: before[image] for image in unchanged
    }


def test_failed_images_are_tried_again_when_asked_for(tmp_path):
    images = tmp_path / "images"
    write_images(images, 3)
    [image] = images.rglob("0002.png")
    image.rename(image.with_name("bug.png"))
    run(images, tmp_path / "out")
    log = tmp_path / "log"
    run(images, tmp_path / "out", FakeDetector(log=log))
    assert not log.exists()
    assert statuses(tmp_path / "out")["a/bug.png"] == "failed"
    summary = run(images, tmp_path / "out", FakeDetector(mended=True), retry_failed=True)
    assert set(statuses(tmp_path / "out").values()) == {"observed"}
    assert summary.statuses == {"observed": 3}
    assert (tmp_path / "out" / "failed.csv").read_text() == "image,reason\n"


def test_an_image_that_an_older_one_replaced_is_looked_at_again(tmp_path):
    images = tmp_path / "images"
    write_images(images, 3)
    (images / "text.png").write_text("x")
    run(images, tmp_path / "out")
    for path, image in (("a/0000.png", 0 * WHITE), ("text.png", WHITE)):
        put(images / path, image)
        os.utime(images / path, (10**9, 10**9))  # as `cp -p` leaves it
    run(images, tmp_path / "out")
    assert statuses(tmp_path / "out") == {
        "a/0000.png": "no_face",
        "a/0002.png": "observed",
        "b/0001.png": "observed",
        "text.png": "observed",
    }
    for path in ("a/0000.png", "text.png"):
        assert records(tmp_path / "out")[path]["sha256"] == content_hash(
            (images / path).read_bytes()
        )


@pytest.mark.parametrize("workers", [None, 1])
def test_a_detector_is_given_as_many_images_as_it_asks_for(tmp_path, workers):
    write_images(tmp_path / "images", 7)
    detector = FakeDetector(log=tmp_path / "log", batches=True)
    detector.batch_size = 3
    run(tmp_path / "images", tmp_path / "asked", detector, workers=workers)
    assert (tmp_path / "log").read_text().split() == ["3", "3", "1"]
    (tmp_path / "log").unlink()
    run(tmp_path / "images", tmp_path / "told", detector, workers=workers, batch_size=5)
    assert (tmp_path / "log").read_text().split() == ["5", "2"]


def test_evidence_of_a_run_that_was_stopped_does_not_pass_for_the_whole(tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    write_images(images, 6)
    whole = records_of(images, out)
    [image] = images.rglob("0005.png")
    image.rename(image.with_name("broken.png"))  # on which the detector ends the run
    with pytest.raises(InputError, match="the model file is missing"):
        run(images, out, batch_size=1)
    with pytest.raises(InputError, match=r"out is not finished; start its `tag-rewards annotate`"):
        EvidenceRows(out, images)
    assert len(list(read_evidence(out))) == 6  # which reads whatever is there
    image.with_name("broken.png").rename(image)
    assert records_of(images, out) == whole
    EvidenceRows(out, images)


def records_of(images, out):
    run(images, out)
    return {image: row for image, row in records(out).items() if "broken" not in image}


def test_csvs_of_none_of_the_images_are_refused(dataset, tmp_path):
    write_images(tmp_path / "images", 3)
    detector = make_detector("openface-csv", {"folder": str(dataset.openface)})
    with pytest.raises(InputError, match=r"has a CSV for none of the 3 images, .* no 0000\.csv"):
        run(tmp_path / "images", tmp_path / "out", detector)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_openface_has_not_done_with_does_not_pass_for_the_whole(dataset, tmp_path):
    for number in range(1, 4):
        csv = dataset.csv(f"train_0000{number}")
        if csv.exists():
            csv.with_name(f"{csv.stem}_of_details.txt").write_text(f"Output csv:{csv.name}\n")
    message = r"OpenFace did not come to 2 of the 4 images, for example .*test_0001_aligned\.jpg"
    for name in ("test_0001", "test_0002"):
        dataset.csv(name).unlink()
    with pytest.raises(InputError, match=message):
        prepare(dataset.root, dataset.openface, tmp_path / "out")
    for name in ("test_0001", "test_0002"):
        csv = dataset.csv(name)
        csv.with_name(f"{csv.stem}_of_details.txt").write_text("Input:x.jpg\n")
    with pytest.raises(InputError, match=r"no test image is left of 2 \(2: no OpenFace CSV"):
        prepare(dataset.root, dataset.openface, tmp_path / "out")


def test_aus_are_counted_over_sure_faces(tmp_path):
    def row(name, *confidences):
        faces = tuple(
            FaceObservation((0, 0, 9, 9), None, {12: 0.9, 4: 0.1}, confidence=confidence)
            for confidence in confidences
        )
        return EvidenceRow(name, "0" * 64, "observed", "", 9, 9, "fake", "1", faces)

    rows = [row("a", 0.9, 0.1), row("b", 0.725), row("c", 0.7)]
    write_evidence_table(tmp_path / "evidence.parquet", evidence_table(rows))
    counts = count_evidence(tmp_path)
    assert (counts.faces, counts.sure, counts.aus, counts.judged) == (4, 2, {12: 2}, {12: 2, 4: 2})
    assert "4 faces, 2 of them sure" in counts.to_table().caption


def test_evidence_without_kinds_counts_by_reasons(tmp_path):
    whole = table("a.png", "b.png").drop_columns(["kind"])
    write_evidence_table(tmp_path / "evidence.parquet", whole)
    assert count_evidence(tmp_path).reasons == {"why": 2}
    assert [row.kind for row in read_evidence(tmp_path)] == ["", ""]


def test_workers_give_the_same_rows(tmp_path):
    write_images(tmp_path / "images", 30)
    run(tmp_path / "images", tmp_path / "one", batch_size=4)
    run(tmp_path / "images", tmp_path / "three", workers=3, batch_size=4, shard_rows=7)
    assert records(tmp_path / "one") == records(tmp_path / "three")
    assert len(list((tmp_path / "three").glob("*.parquet"))) > 3


def test_evidence_of_openface_csvs_prepares_to_the_same_bytes(dataset, tmp_path):
    dataset.add("train_00003", 4, None)
    dataset.add("train_00004", 5, [dataset.observe([1], r=5), dataset.observe([12], r=15)])
    detector = make_detector("openface-csv", {"folder": str(dataset.openface)})
    run(dataset.root, tmp_path / "evidence", detector, workers=2)
    rows = EvidenceRows(tmp_path / "evidence", dataset.root)
    prepare(dataset.root, rows, tmp_path / "a")
    prepare(dataset.root, dataset.openface, tmp_path / "b")
    for name in PARQUET_FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_images_that_share_a_csv_have_failed(dataset, tmp_path):
    twin = dataset.root / "Image" / "original" / dataset.image("train_00001").name
    put(twin)
    dataset.image("train_00002").write_bytes(b"cut")
    detector = make_detector("openface-csv", {"folder": str(dataset.openface)})
    run(dataset.root, tmp_path / "out", detector)
    found = records(tmp_path / "out")
    failed = {Path(image).stem for image, row in found.items() if row["status"] == "failed"}
    assert failed == {"train_00001_aligned", "train_00002_aligned"}
    assert (
        "2 images are called train_00001_aligned"
        in found["Image/original/train_00001_aligned.jpg"]["reason"]
    )
    assert "is not an image" in found["Image/aligned/train_00002_aligned.jpg"]["reason"]


MANIFEST = Manifest("/images", "fake", "1")


def evidence(out, manifest=MANIFEST):
    return EvidenceFolder(out, manifest, shard_rows=2, shard_seconds=3600)


def table(*images):
    rows = [EvidenceRow(image, "", "failed", "why", 0, 0, "fake", "1") for image in images]
    return evidence_table(rows)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Manifest("/images", "dlib", "1"), "holds evidence of detector 'fake', not 'dlib'"),
        (Manifest("/images", "fake", "2"), "holds evidence of version '1', not '2'"),
        (Manifest("/photos", "fake", "1"), "holds evidence of folder '/images', not '/photos'"),
        (Manifest("/images", "fake", "1", format=2), "holds evidence of format 1, not 2"),
    ],
)
def test_evidence_of_something_else_is_refused(tmp_path, other, message):
    with evidence(tmp_path / "out"):
        pass
    with pytest.raises(InputError, match=message):
        evidence(tmp_path / "out", other)
    with evidence(tmp_path / "out", Manifest("/images", "fake", "1", {"processes": "4"})):
        pass


def test_two_runs_do_not_write_to_one_folder(tmp_path):
    with evidence(tmp_path / "out"), pytest.raises(InputError, match="another run writes to"):
        evidence(tmp_path / "out")
    with evidence(tmp_path / "out"):
        pass


def test_a_folder_with_something_else_is_refused_and_left_as_it_was(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    with pytest.raises(InputError, match="is not empty and holds no evidence"):
        evidence(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match=r"thesis\.tex is a file"):
        evidence(tmp_path / "out" / "thesis.tex")


def test_leftovers_of_a_killed_run_are_removed_and_its_shards_kept(tmp_path):
    with evidence(tmp_path / "out") as out:
        out.add(table("a.png", "b.png"))
    (tmp_path / "out" / ".evidence-00001.parquet.partial").write_text("half")
    with evidence(tmp_path / "out") as out:
        assert out.done == {"a.png", "b.png"}
        assert out.add(table("b.png", "c.png")) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".lock",
        "evidence-00000.parquet",
        "evidence-00001.parquet",
        "evidence.json",
    ]
    assert list(statuses(tmp_path / "out")) == ["a.png", "b.png", "c.png"]


def test_shards_are_written_when_they_are_full_or_it_is_time(tmp_path):
    def shards():
        return len(list((tmp_path / "out").glob("*.parquet")))

    with EvidenceFolder(tmp_path / "out", MANIFEST, shard_rows=3, shard_seconds=0.2) as out:
        out.add(table("a.png"))
        assert shards() == 0
        out.add(table("b.png", "c.png"))
        assert shards() == 1
        time.sleep(0.25)
        out.add(table("d.png"))
        assert shards() == 2
        out.add(table("e.png"))
        assert shards() == 2
    assert shards() == 3


def test_what_was_done_is_kept_when_a_run_ends_early(tmp_path):
    def stopped():
        with evidence(tmp_path / "out") as out:
            out.add(table("a.png"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list(statuses(tmp_path / "out")) == ["a.png"]


def test_a_limit_looks_at_some_and_leaves_the_rest_for_later(tmp_path):
    for name in "abcdef":
        put(tmp_path / f"images/{name}.png")
    out = tmp_path / "out"
    counts = run(tmp_path / "images", out, limit=2)
    assert (list(statuses(out)), counts.waiting) == (["a.png", "d.png"], 4)
    assert counts.to_table().caption.endswith("; 4 images are left: start it again for them")
    with pytest.raises(InputError, match="is not finished; start its `tag-rewards annotate` again"):
        EvidenceRows(out, tmp_path / "images")
    assert run(tmp_path / "images", out).waiting == 0
    assert len(statuses(out)) == 6
    assert EvidenceRows(out, tmp_path / "images")
    with pytest.raises(InputError, match="limit is 0, not at least 1"):
        AnnotateConfig(limit=0)


def test_what_is_passed_over_is_counted_by_its_name(tmp_path):
    put(tmp_path / "images/a.png")
    for name in ("b.heic", "c.HEIC", "d.gif", "e"):
        (tmp_path / "images" / name).touch()
    counts = run(tmp_path / "images", tmp_path / "out")
    assert counts.passed_over == {".heic": 2, ".gif": 1, "no ending": 1}
    told = "other files, passed over: 2 .heic, 1 .gif, 1 no ending"
    assert told in counts.to_table().caption


def test_nothing_to_look_at_is_refused(tmp_path):
    with pytest.raises(InputError, match="gone is not a folder"):
        ImageFolder.scan(tmp_path / "gone")
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match=r"holds no image that is read \(1 \.txt\)"):
        ImageFolder.scan(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers is 0, not at least 1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"shard_rows": 0}, "shard_rows is 0"),
        ({"shard_seconds": float("nan")}, "shard_seconds is nan"),
    ],
)
def test_a_configuration_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        AnnotateConfig(**options)
