"""Pixels of samples, whether in a file or in the dataset's table."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tag_rewards.datasets.fer2013 import GreyImage
from tag_rewards.datasets.reading import FaceSample, load_image, unpack
from tag_rewards.files.images import ImageError


@pytest.fixture
def sample(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    return FaceSample(
        "a", tmp_path / "images/test/a.png", "fear", "test", GreyImage(grey.tobytes())
    )


def test_grey_pixels_become_bgr(sample):
    image = load_image(sample)
    assert (image.shape, image.dtype) == ((48, 48, 3), np.uint8)
    assert image[:, :, 1].tobytes() == sample.stored.pixels
    assert (image == image[:, :, :1]).all()


def test_unpacked_files_hold_the_same_pixels(sample):
    assert unpack([sample]) == 1
    stored = cv2.imread(str(sample.path), cv2.IMREAD_UNCHANGED)
    assert stored.shape == (48, 48)  # still grey
    assert (load_image(replace(sample, stored=None)) == load_image(sample)).all()


def test_unpacking_again_writes_what_is_missing(sample, tmp_path):
    other = replace(sample, id="b", path=tmp_path / "images/test/b.png")
    in_file = replace(sample, id="c", path=tmp_path / "c.png", stored=None)
    assert unpack([sample, in_file]) == 1
    assert unpack([sample, other, in_file]) == 1
    assert {path.name for path in sample.path.parent.iterdir()} == {"a.png", "b.png"}
    assert not in_file.path.exists()


def test_a_file_that_is_no_image_is_refused(sample, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"a\.jpg is not an image that OpenCV can read"):
        load_image(replace(sample, path=tmp_path / "a.jpg", stored=None))
