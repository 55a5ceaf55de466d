"""The cache: what was seen before is not looked at again, whatever it is called now."""

import shutil
import sys
from pathlib import Path

import pytest

from tag_rewards.detectors.registry import make_detector
from tag_rewards.errors import InputError
from tag_rewards.evidence.cache import FILE, EvidenceCache, default_cache_folder
from tag_rewards.evidence.rows import EvidenceRow
from tests.builders.annotation import FakeDetector, records, run, write_images


def looked_at(log):
    names = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return len(names)


def test_the_same_images_are_looked_at_once(tmp_path):
    images, log, cache = tmp_path / "images", tmp_path / "log", tmp_path / "cache"
    write_images(images, 10)
    detector = FakeDetector(log=log)
    run(images, tmp_path / "one", detector, cache=cache)
    assert looked_at(log) == 10
    run(images, tmp_path / "two", detector, cache=cache, workers=2)
    assert looked_at(log) == 0
    assert records(tmp_path / "two") == records(tmp_path / "one")
    # Moved and renamed, they are the same images; changed, they are not.
    shutil.move(images, tmp_path / "moved")
    (tmp_path / "moved" / "a" / "0000.png").rename(tmp_path / "moved" / "first.png")
    shutil.copy(tmp_path / "moved" / "a" / "0002.png", tmp_path / "moved" / "copy.png")
    changed = tmp_path / "moved" / "b" / "0001.png"
    changed.write_bytes(changed.read_bytes() + b"x")
    run(tmp_path / "moved", tmp_path / "three", detector, cache=cache)
    assert looked_at(log) == 1
    found = records(tmp_path / "three")
    assert found["first.png"] == {**records(tmp_path / "one")["a/0000.png"], "image": "first.png"}
    assert len(found) == 11


@pytest.mark.parametrize("other", [{"version": "2"}, {"name": "other"}])
def test_another_detector_or_version_looks_anew(tmp_path, other):
    images, log, cache = tmp_path / "images", tmp_path / "log", tmp_path / "cache"
    write_images(images, 3)
    run(images, tmp_path / "one", FakeDetector(log=log), cache=cache)
    run(images, tmp_path / "two", FakeDetector(log=log, **other), cache=cache)
    assert looked_at(log) == 6


def test_failures_are_not_kept(tmp_path):
    images, log, cache = tmp_path / "images", tmp_path / "log", tmp_path / "cache"
    images.mkdir()
    (images / "a.png").write_text("x")
    for out in ("one", "two"):
        run(images, tmp_path / out, FakeDetector(log=log), cache=cache)
    assert looked_at(log) == 2


def test_what_follows_from_the_name_is_not_kept_by_content(dataset, tmp_path):
    detector = make_detector("openface-csv", {"folder": str(dataset.openface)})
    run(dataset.root, tmp_path / "out", detector, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    faces = {image: row["faces"] for image, row in records(tmp_path / "out").items()}
    # The images are all the same grey ramp.
    assert len({repr(face) for face in faces.values()}) == 4


def test_a_broken_cache_is_named(tmp_path):
    write_images(tmp_path / "images", 1)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(InputError, match=rf"{FILE} cannot be used .*delete it"):
        run(tmp_path / "images", tmp_path / "out", cache=tmp_path / "cache")
    with pytest.raises(InputError, match="give --cache or --no-cache"):
        run(tmp_path / "images", tmp_path / "out", cache=tmp_path / "cache" / FILE / "x")


def test_a_machine_without_the_cache_misses(tmp_path):
    assert EvidenceCache(tmp_path / "nowhere").get("ab", "fake", "1", "a.png") is None
    cache = EvidenceCache(tmp_path)
    cache.create()
    row = EvidenceRow("a.png", "ab", "no_face", "", 3, 4, "fake", "1")
    cache.put([cache.entry(row), cache.entry(row)])
    found = cache.get("ab", "fake", "1", "b.png")
    assert (found.image, found.status, found.width) == ("b.png", "no_face", 3)
    assert cache.get("ab", "fake", "2", "b.png") is None


@pytest.mark.skipif(sys.platform == "darwin", reason="XDG is for other platforms")
def test_the_default_folder_is_the_users(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache_folder() == Path("/somewhere/tag-rewards")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_folder() == Path.home() / ".cache" / "tag-rewards"
