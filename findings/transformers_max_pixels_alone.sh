#!/usr/bin/env bash
# transformers 5.10.4, Qwen2-VL's image processor: `max_pixels` alone, as an argument of the call, is passed
# over without a word; beside `min_pixels`, or in the constructor, it holds.
#
#   an image of 1280 x 1280, max_pixels = 640 * 640       side that the model is shown
#   processor(image)                                       980
#   processor(image, max_pixels=...)                       980
#   processor(image, min_pixels=3136, max_pixels=...)      616
#   Processor(max_pixels=...)(image)                       616
#
# The call makes a size of the two limits only where both are given (`_standardize_kwargs`); the class that
# needs torch does the same. Boxes in pixels after resizing are then wrong by the ratio of the two sides: give
# both limits. 5.24.0 heeds `max_pixels` alone.
#
# Seen with Python 3.11, transformers 5.10.4, Pillow 12.0.0, numpy 2.3.5. Exits 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check transformers==5.10.4 pillow==12.0.0 numpy==2.3.5
cat >sides.py <<'PY'
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil as Processor

image, limit = Image.new("RGB", (1280, 1280)), 640 * 640


def side(processor, **arguments):
    patches = processor(images=image, return_tensors="np", **arguments)["image_grid_thw"][0][1]
    return int(patches) * processor.patch_size


print(
    side(Processor()),
    side(Processor(), max_pixels=limit),
    side(Processor(), min_pixels=3136, max_pixels=limit),
    side(Processor(max_pixels=limit)),
)
PY
read -r default alone both made < <(env/bin/python sides.py 2>errors || true) || { cat errors >&2; exit 1; }
printf 'no limit:                          %s\n' "$default"
printf 'max_pixels alone, in the call:     %s\n' "$alone"
printf 'both limits, in the call:          %s\n' "$both"
printf 'max_pixels, in the constructor:    %s\n' "$made"
[[ "$default $alone $both $made" == '980 980 616 616' ]]
