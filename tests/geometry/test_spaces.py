import ast
import importlib.util
import json
import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tag_rewards.geometry import KINDS, BoxSpace, Kind, Resizing, convert_boxes, smart_resize

SPACES = [
    BoxSpace.pixels(512, 384),
    BoxSpace.normalized_1000(),
    BoxSpace.normalized_1024(),
    BoxSpace.resized("qwen2_5_vl", 504, 392),
]
spaces = st.sampled_from(SPACES)
boxes = st.lists(st.tuples(*[st.floats(-100, 2000)] * 4), max_size=3)


@pytest.mark.parametrize("space", SPACES)
def test_a_space_survives_json(space):
    assert BoxSpace.from_dict(json.loads(json.dumps(space.to_dict()))) == space


@given(boxes, spaces, spaces)
def test_conversion_there_and_back_changes_nothing(original, a, b):
    there_and_back = convert_boxes(convert_boxes(original, a, b), b, a)
    assert np.allclose(there_and_back.reshape(-1), np.reshape(original, -1), atol=1e-6)


def test_the_extent_is_as_wide_and_as_high_as_the_image():
    assert [space.extent for space in SPACES] == [
        (512, 384),
        (1000, 1000),
        (1024, 1024),
        (504, 392),
    ]
    assert BoxSpace.pixels(1, 1_000_000).extent == (1, 1_000_000)
    assert BoxSpace.resized("qwen2_vl", 28, 56).extent == (28, 56)


@given(spaces, spaces)
def test_the_whole_image_is_the_whole_image_in_every_space(a, b):
    assert np.allclose(convert_boxes([0, 0, *a.extent], a, b), [0, 0, *b.extent])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "no field 'kind'"),
        ({"kind": "voxels"}, "kind 'voxels' is not one of"),
        ({"kind": "pixels", "width": 5}, "needs a positive integer height, got None"),
        ({"kind": "pixels", "width": 0, "height": 5}, "positive integer width, got 0"),
        ({"kind": "pixels", "width": 5.5, "height": 5}, "positive integer width, got 5.5"),
        ({"kind": "pixels", "width": 10**400, "height": 5}, "has a width above 1000000"),
        (
            {"kind": "resized", "width": 28, "height": 28, "processor": [1]},
            r"processor \[1\] is not",
        ),
        ({"kind": "pixels", "width": True, "height": 5}, "positive integer width, got True"),
        ({"kind": "pixels", "width": "5", "height": 5}, "positive integer width, got '5'"),
        ({"kind": "pixels", "width": 5, "height": 5, "depth": 1}, "unknown field 'depth'"),
        ({"kind": "pixels", "width": 5, "height": 5, "processor": "x"}, "has no processor"),
        ({"kind": "normalized_1000", "width": 5}, "normalized_1000 has no width"),
        ({"kind": "normalized_1024", "height": 5}, "normalized_1024 has no height"),
        ({"kind": ["pixels"], "width": 5}, r"kind \['pixels'\] is not one of"),
        ({"kind": "resized", "width": 28, "height": 28}, "processor None is not one of"),
        (
            {"kind": "resized", "width": 512, "height": 512, "processor": "qwen2_5_vl"},
            "multiples of 28.*smart_resize",
        ),
        *(
            (
                {"kind": "resized", "width": w, "height": h, "processor": "qwen2_vl"},
                "multiples of 28",
            )
            for w, h in ((56, 57), (57, 56), (28, 30))
        ),
        ({"kind": "pixels", "width": 5, "height": 1_000_001}, "has a height above 1000000"),
    ],
)
def test_what_is_no_space(fields, message):
    with pytest.raises(ValueError, match=message):
        BoxSpace.from_dict(fields)


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        ((512, 512), (504, 504)),
        ((28, 28), (56, 56)),
        ((1, 1), (56, 56)),
        ((1, 200), (28, 812)),
        ((42, 70), (56, 56)),  # halves go to the even number, as Python's round does
        ((4000, 3000), (4004, 2996)),
        ((1024, 1024), (1036, 1036)),
        ((5000, 5000), (3556, 3556)),  # not 3584: the square root is rounded, as there
        ((100, 100), (112, 112)),
    ],
)
def test_smart_resize(size, resized):
    assert smart_resize(*size) == resized


@pytest.mark.parametrize("size", [(0, 10), (-1, 10), (1, 201)])
def test_smart_resize_refuses(size):
    with pytest.raises(ValueError, match=r"sides must be positive|at most 200 times"):
        smart_resize(*size)


def test_smart_resize_is_that_of_transformers():
    # Cut out of its file: importing the module would need a torchvision that fits torch.
    found = importlib.util.find_spec("transformers")
    if found is None:
        pytest.skip("transformers is not installed")
    folder = Path(found.submodule_search_locations[0]) / "models/qwen2_vl"
    tree = ast.parse((folder / "image_processing_qwen2_vl.py").read_text())
    functions = [node for node in tree.body if getattr(node, "name", "") == "smart_resize"]
    theirs = {"math": math}
    exec(compile(ast.Module(functions, []), "smart_resize", "exec"), theirs)

    rng = np.random.default_rng(0)
    for height, width in rng.integers(20, 3000, size=(300, 2)).tolist():
        limits = rng.choice([3136, 50176]), rng.choice([401408, 1003520, 12845056])
        for factor in (28, 32):
            expected = theirs["smart_resize"](height, width, factor, *limits)
            assert smart_resize(height, width, factor, *limits) == expected


@given(st.integers(56, 5000), st.integers(56, 5000))
def test_what_was_resized_stays_as_it_is(width, height):
    resizing = Resizing()
    size = resizing.size(width, height)
    assert resizing.min_pixels <= size[0] * size[1] <= resizing.max_pixels
    assert resizing.size(*size) == size


def test_the_least_settings_leave_an_image_as_it_is():
    assert Resizing(factor=1, min_pixels=1).size(7, 5) == (7, 5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"factor": 0}, "factor is 0, not a whole number above 0"),
        ({"max_pixels": 1.5}, "max_pixels is 1.5, not a whole number"),
        ({"min_pixels": True}, "min_pixels is True, not a whole number"),
        ({"max_pixels": 9}, "max_pixels is 9, which is below min_pixels 3136"),
    ],
)
def test_settings_that_are_no_resizing(settings, message):
    with pytest.raises(ValueError, match=message):
        Resizing(**settings)


def test_every_kind_is_in_the_table():
    assert tuple(KINDS) == get_args(Kind)
    assert {space.kind for space in SPACES} == set(KINDS)
