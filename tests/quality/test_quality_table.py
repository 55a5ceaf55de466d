import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tag_rewards.datasets.made_faces.dataset import write_dataset
from tag_rewards.datasets.protocols import load_protocol
from tag_rewards.datasets.rafdb import read_rafdb
from tag_rewards.errors import InputError
from tag_rewards.evidence.of_dataset import OpenFaceCsvs
from tag_rewards.quality.measures import Limit
from tag_rewards.quality.table import (
    QUALITY_SCHEMA,
    UNREADABLE,
    draw_quality,
    judge,
    judge_images,
    measure_samples,
    read_rejected,
    without_rejected,
    write_quality,
)
from tests.builders.command import command

PROTOCOL = "made-faces/test"


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """Twenty training faces, two of them blurred and one cut, and ten for testing, one blurred."""
    root = tmp_path_factory.mktemp("quality") / "faces"
    write_dataset(root, 20, 10, seed=0)
    aligned = root / "Image" / "aligned"
    for name in ("train_00003", "train_00004", "test_0002"):
        path = str(aligned / f"{name}_aligned.jpg")
        assert cv2.imwrite(path, cv2.GaussianBlur(cv2.imread(path), (0, 0), 6))
    (aligned / "train_00005_aligned.jpg").write_bytes(b"\xff\xd8cut")
    return root


@pytest.fixture(scope="module")
def rows(faces):
    samples = read_rafdb(faces).samples
    return list(measure_samples(samples, OpenFaceCsvs(faces / "openface")))


def test_only_a_face_in_the_datasets_own_box_counts(faces):
    sample = read_rafdb(faces).samples[0]
    [elsewhere] = measure_samples(
        [replace(sample, face_box=(0, 0, 3, 3))], OpenFaceCsvs(faces / "openface")
    )
    [there] = measure_samples(
        [replace(sample, face_box=(0, 0, 112, 112))], OpenFaceCsvs(faces / "openface")
    )
    assert (elsewhere.quality.n_faces, there.quality.n_faces) == (0, 1)


def rejected(judged):
    return {row.id: row.rejected for row in judged.rows if row.rejected}


def test_rows_are_the_samples_in_order(faces, rows):
    assert [row.id for row in rows] == [sample.id for sample in read_rafdb(faces).samples]
    assert {row.quality.n_faces for row in rows if row.quality} == {1}
    assert [row.id for row in rows if row.quality is None] == ["train_00005"]


def test_without_a_detector_the_whole_image_is_measured(faces, rows):
    plain = list(measure_samples(read_rafdb(faces).samples, None))
    assert {row.quality.n_faces for row in plain if row.quality} == {None}
    with pytest.raises(InputError, match="n_faces>=1: no image has n_faces; give evidence"):
        judge(plain, [Limit.parse("n_faces>=1")], ["train"])
    assert plain[0].quality.laplacian != rows[0].quality.laplacian


def test_blurred_images_are_rejected_and_the_test_split_is_not_touched(rows):
    judged = judge(rows, [Limit.parse("laplacian>=30")], ["train"])
    assert rejected(judged) == {
        "train_00003": "laplacian>=30",
        "train_00004": "laplacian>=30",
        "train_00005": UNREADABLE,
    }
    both = judge(rows, [Limit.parse("laplacian>=30")], ["train", "test"])
    assert set(rejected(both)) - set(rejected(judged)) == {"test_0002"}


def test_a_percentile_is_that_of_the_filtered_splits(rows):
    sharp = sorted(row.quality.laplacian for row in rows if row.quality and row.split == "train")
    judged = judge(rows, [Limit.parse("laplacian>=p50")], ["train"])
    assert judged.limits[0].bound == pytest.approx(np.percentile(sharp, 50))
    assert len(rejected(judged)) == 9 + 1
    assert all(row.split == "train" for row in judged.rows if row.rejected)


def test_rejections_are_counted_by_reason_and_label(rows):
    judged = judge(rows, [Limit.parse("|yaw|<=90"), Limit.parse("laplacian>=30")], ["train"])
    counts = judged.rejections()
    assert list(counts) == ["|yaw|<=90", "laplacian>=30", UNREADABLE]
    assert [count.total() for count in counts.values()] == [0, 2, 1]
    assert judged.images().total() == 20
    assert draw_quality(judged).axes


def test_without_limits_only_what_cannot_be_read_is_rejected(rows):
    assert rejected(judge(rows, [], ["train", "test"])) == {"train_00005": UNREADABLE}


def test_a_percentile_of_what_nobody_has_is_refused(faces):
    plain = measure_samples(read_rafdb(faces).samples, None)
    with pytest.raises(InputError, match="yaw>=p5: no image has yaw; give evidence with faces"):
        judge(plain, [Limit.parse("yaw>=p5")], ["train"])


def test_limits_that_can_reject_nothing_are_refused(faces, tmp_path):
    """Data with an evaluated split alone, as photographs with a labels.csv are."""
    only_test = tmp_path / "faces"
    (only_test / "test" / "happy").mkdir(parents=True)
    image = faces / "Image" / "aligned" / "test_0001_aligned.jpg"
    (only_test / "test" / "happy" / "a.jpg").write_bytes(image.read_bytes())
    limits, out = [Limit.parse("laplacian>=p5")], tmp_path / "q.parquet"
    with pytest.raises(InputError, match="none is rejected; --filter-evaluated rejects them too"):
        judge_images(only_test, "own/test", out, limits)
    assert not out.exists()
    assert judge_images(only_test, "own/test", out, limits, filter_evaluated=True).rows
    assert judge_images(only_test, "own/test", out).rows


class TestFile:
    def test_what_is_written_is_read(self, rows, tmp_path):
        judged = judge(rows, [Limit.parse("laplacian>=30")], ["train"])
        write_quality(tmp_path / "q.parquet", judged)
        assert pq.read_schema(tmp_path / "q.parquet").remove_metadata() == QUALITY_SCHEMA
        found = read_rejected(tmp_path / "q.parquet")
        assert found.reasons == rejected(judged)
        assert found.known == {row.id for row in rows}
        assert (found.limits, found.filtered) == (("laplacian>=30",), ("train",))
        assert [path.name for path in tmp_path.iterdir()] == ["q.parquet"]

    @pytest.mark.parametrize("content", [b"no parquet", None])
    def test_another_file_is_refused(self, tmp_path, content):
        path = tmp_path / "q.parquet"
        if content is None:
            pq.write_table(pa.table({"id": ["a"], "rejected": [""]}), path)
        else:
            path.write_bytes(content)
        with pytest.raises(InputError, match=r"q\.parquet is (no|not a) .*; write it with"):
            read_rejected(path)


class TestProtocol:
    def test_what_is_rejected_is_left_out_and_counted(self, faces, rows, tmp_path):
        write_quality(
            tmp_path / "q.parquet", judge(rows, [Limit.parse("laplacian>=30")], ["train"])
        )
        loaded = without_rejected(load_protocol(PROTOCOL, faces), tmp_path / "q.parquet")
        assert len(loaded.samples) == 27
        assert loaded.dropped["train"] == {
            "quality: laplacian>=30": 2,
            "quality: the image cannot be read": 1,
        }
        assert len(loaded.evaluated) == 10
        assert loaded.mismatches == ()

    def test_a_filtered_test_split_says_so(self, faces, rows, tmp_path):
        judged = judge(rows, [Limit.parse("laplacian>=30")], ["train", "test"])
        write_quality(tmp_path / "q.parquet", judged)
        loaded = without_rejected(load_protocol(PROTOCOL, faces), tmp_path / "q.parquet")
        assert len(loaded.evaluated) == 9
        assert loaded.mismatches == ("test: 1 of 10 images left out by quality (laplacian>=30)",)

    def test_an_image_that_was_not_measured_is_an_error(self, faces, rows, tmp_path):
        write_quality(tmp_path / "q.parquet", judge(rows[1:], [], ["train"]))
        with pytest.raises(InputError, match=f"does not know '{rows[0].id}' of {PROTOCOL}; run"):
            without_rejected(load_protocol(PROTOCOL, faces), tmp_path / "q.parquet")


def test_the_command(faces, tmp_path):
    def run(*options):
        return subprocess.run(
            [f"{sys.prefix}/bin/tag-rewards", "quality", str(faces), *options],
            capture_output=True,
            text=True,
            check=False,
        )

    out = tmp_path / "new" / "q.parquet"
    done = run(
        *("--protocol", PROTOCOL, "--openface", str(faces / "openface"), "--out", str(out)),
        *("--require", "laplacian>=30"),
    )
    assert done.returncode == 0, done.stderr
    assert "Rejected of train" in done.stdout
    assert out.with_suffix(".png").stat().st_size > 10_000
    assert len(read_rejected(out).reasons) == 3
    before = out.read_bytes()
    bad = run("--protocol", PROTOCOL, "--out", str(out.with_suffix(".png")))
    assert (bad.returncode, bad.stdout) == (2, "")
    assert "q.png is the name of the picture; give one that ends with .parquet" in bad.stderr
    assert out.read_bytes() == before
    bad = run("--protocol", PROTOCOL, "--out", str(out), "--require", "blur<3")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("tag-rewards: --require: 'blur<3' is no limit; write for example")


def test_a_limit_measures_some_of_each_split_which_prepare_does_not_take(faces, tmp_path):
    out = tmp_path / "q.parquet"
    code, _, error = command(
        *("quality", faces, "--protocol", PROTOCOL, "--out", out, "--limit", 3, "--json")
    )
    assert (code, error) == (0, "")
    measured = pq.read_table(out, columns=["id", "split"]).to_pylist()
    assert [row["split"] for row in measured] == ["train"] * 3 + ["test"] * 3
    assert measured[1]["id"] == "train_00007"  # from all of the split
    with pytest.raises(InputError, match="run `tag-rewards quality` on this dataset again"):
        without_rejected(load_protocol(PROTOCOL, faces), out)
