#!/usr/bin/env bash
# transformers 5.10.4, Qwen2-VL's image processor: the limit of one processor becomes the default of the class,
# and so that of every processor that is made after it without limits.
#
#   an image of 1280 x 1280                           5.10.4   5.24.0
#   Processor()(image)                                 980      980
#   Processor(max_pixels=640 * 640)(image)             616      616
#   Processor()(image)                                 616      980
#
# 5.10.4 writes `max_pixels` into the dictionary `size` of the class. In one process that compares models or
# canvases, sides and boxes in pixels after resizing then depend on what was made before; give each processor
# both limits.
#
# Seen with Python 3.11, transformers 5.10.4 and 5.24.0, Pillow 12.0.0, numpy 2.3.5. Exits 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv env
cat >sides.py <<'PY'
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil as Processor

image = Image.new("RGB", (1280, 1280))


def side(processor):
    patches = processor(images=image, return_tensors="np")["image_grid_thw"][0][1]
    return int(patches) * processor.patch_size


print(side(Processor()), side(Processor(max_pixels=640 * 640)), side(Processor()))
PY
sides() {
    env/bin/pip install --quiet --disable-pip-version-check "transformers==$1" pillow==12.0.0 numpy==2.3.5
    env/bin/python sides.py 2>errors || { cat errors >&2; return 1; }
}
old=$(sides 5.10.4)
new=$(sides 5.24.0)
printf 'default, one with max_pixels, default again: 5.10.4: %s\n' "$old"
printf 'default, one with max_pixels, default again: 5.24.0: %s\n' "$new"
[[ $old == '980 616 616' && $new == '980 616 980' ]]
