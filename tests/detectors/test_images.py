"""Images of every kind become 8-bit BGR or are refused; small ones are enlarged, points go back."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tag_rewards.detectors.one_by_one import MIN_SIDE, PAD, Transform, prepare, read_any
from tag_rewards.files.images import ImageError, as_bgr, read_image

# What OpenCV does to an image for each EXIF orientation.
ORIENTATIONS = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: lambda image: np.rot90(image),
}


def photo(height=24, width=36, channels=3, dtype=np.uint8):
    """Smooth, so that JPEG keeps it; no two of its turns are alike."""
    y, x = np.mgrid[:height, :width]
    planes = [x / width, y / height, (x + 2 * y) / (width + 2 * height), 0.2 + 0.8 * x / width]
    white = np.iinfo(dtype).max
    return np.dstack([(plane * white).astype(dtype) for plane in planes[:channels]])


def exif(orientation):
    entry = struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0)
    return b"II*\0\x08\0\0\0\x01\0" + entry + bytes(4)


def with_exif(data, orientation):
    if data.startswith(b"\xff\xd8"):
        block = b"Exif\0\0" + exif(orientation)
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]
    block = b"eXIf" + exif(orientation)
    chunk = struct.pack(">I", len(block) - 4) + block + struct.pack(">I", zlib.crc32(block))
    return data[:33] + chunk + data[33:]


def write(path, image, orientation=None):
    _, data = cv2.imencode(path.suffix, image)
    path.write_bytes(
        data.tobytes() if orientation is None else with_exif(data.tobytes(), orientation)
    )
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm"])
def test_a_file_without_loss_is_read_as_it_was_written(tmp_path, suffix):
    image = photo()
    assert np.array_equal(read_any(write(tmp_path / f"ä b{suffix}", image)), image)


def test_a_jpeg_is_read_as_bgr(tmp_path):
    blue = np.full((20, 30, 3), (255, 0, 0), np.uint8)
    image = read_image(write(tmp_path / "blue.jpg", blue))
    assert image.shape == (20, 30, 3)
    assert image[10, 10].argmax() == 0


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize(
    ("suffix", "channels"), [(".jpg", 3), (".jpg", 1), (".png", 3), (".png", 4)]
)
def test_images_are_turned_as_their_exif_orientation_says(tmp_path, suffix, channels, orientation):
    image = photo(channels=channels)
    upright = read_any(write(tmp_path / f"plain{suffix}", image))
    turned = read_any(write(tmp_path / f"turned{suffix}", image, orientation))
    assert np.array_equal(turned, ORIENTATIONS[orientation](upright))


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_16_bits_become_8_bit_bgr(tmp_path, channels, dtype, suffix):
    read = read_any(write(tmp_path / f"image{suffix}", photo(channels=channels, dtype=dtype)))
    expected = np.broadcast_to(photo(channels=channels), read.shape)
    assert (read.dtype, read.shape) == (np.uint8, (24, 36, 3))
    # OpenCV's TIFF reader weighs grey again; both round down what `as_bgr` rounds.
    assert np.abs(read.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_is_transparent_is_laid_on_black(tmp_path, dtype):
    image = photo(channels=4, dtype=dtype)
    image[:, :12, 3], image[:, 24:, 3] = 0, np.iinfo(dtype).max
    read = read_any(write(tmp_path / "cut-out.png", image))
    assert (read[:, :12] == 0).all()
    assert np.array_equal(read[:, 24:], as_bgr(image[:, 24:, :3].copy()))
    share = image[:, 12:24, 3:] / np.iinfo(dtype).max
    assert read[:, 12:24] == pytest.approx(photo()[:, 12:24] * share, abs=1.5)


@given(
    arrays(
        st.sampled_from([np.uint8, np.uint16]),
        st.tuples(st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3, 4])),
    )
)
def test_pixels_become_what_their_file_becomes(tmp_path_factory, image):
    read = read_any(write(tmp_path_factory.mktemp("images") / "image.png", image))
    assert np.abs(read.astype(int) - read_any(image)).max() <= 1
    if image.dtype == np.uint8:
        assert np.array_equal(read, read_any(image))


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((5, 5, 2), np.uint8),
        np.zeros((5, 5, 3), np.float32),
        np.zeros((5,), np.uint8),
        np.zeros((2, 5, 5, 3), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_image_are_refused(pixels):
    with pytest.raises(ImageError, match="is no image; give"):
        read_any(pixels)


def test_a_cut_jpeg_is_refused_wherever_it_is_cut(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    path = write(tmp_path / "face.jpg", noise)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 50):
        path.write_bytes(whole[:length])
        with pytest.raises(ImageError, match=r"face\.jpg"):
            read_image(path)
    # Cameras and editors append data after the end of the image.
    path.write_bytes(whole + b"\x00trailer")
    assert read_image(path).shape == (40, 40, 3)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".webp", ".ppm"])
def test_another_file_that_is_cut_is_refused(tmp_path, suffix):
    path = write(tmp_path / f"face{suffix}", photo())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ImageError, match="face"):
        read_image(path)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
def test_what_is_no_image_is_refused(tmp_path, content):
    (tmp_path / "face.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=r"face\.jpg is not an image"):
        read_image(tmp_path / "face.jpg")


sizes = st.integers(1, 400)


@given(sizes, sizes, st.integers(1, 300), st.integers(0, 60))
def test_small_images_are_enlarged_and_bordered_others_are_not(width, height, min_side, pad):
    image = np.zeros((height, width, 3), np.uint8)
    prepared, transform = prepare(image, min_side, pad)
    if min(width, height) >= min_side:
        assert prepared is image
        assert transform == Transform(1, 0)
        return
    scale = transform.scale
    assert prepared.shape == (scale * height + 2 * pad, scale * width + 2 * pad, 3)
    assert scale * max(width, height) >= min_side
    assert (scale - 1) * max(width, height) < min_side
    assert transform.border == pad


coordinates = st.floats(-1e4, 1e4)


@given(st.integers(1, 200), st.integers(0, 100), st.lists(st.tuples(coordinates, coordinates)))
def test_points_come_back(scale, border, points):
    transform = Transform(scale, border)
    points = np.array(points).reshape(-1, 2)
    assert transform.to_original(transform.to_prepared(points)) == pytest.approx(points, abs=1e-8)
    assert transform.to_prepared(transform.to_original(points)) == pytest.approx(points, abs=1e-8)


def test_an_image_left_as_it_is_leaves_points_as_they_are():
    points = np.random.default_rng(0).normal(0, 500, (68, 2))
    assert np.array_equal(Transform().to_original(points), points)


@pytest.mark.parametrize("side", [48, 100])
def test_points_lie_on_the_same_spot_of_the_prepared_crop(side):
    """The centre of a soft dot is found in the crop and in its copy."""

    def centre(image):
        weight = image[:, :, 0].astype(float) - image.min()
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        return [(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()]

    y, x = np.mgrid[:side, :side]
    dot = 255 * np.exp(-((x - 0.4 * side) ** 2 + (y - 0.6 * side) ** 2) / (2 * 3.0**2))
    crop = np.repeat(dot.astype(np.uint8)[:, :, None], 3, axis=2)
    copy, transform = prepare(crop)
    assert min(copy.shape[:2]) >= MIN_SIDE + 2 * PAD
    assert transform.to_original(centre(copy)) == pytest.approx(centre(crop), abs=0.05)
