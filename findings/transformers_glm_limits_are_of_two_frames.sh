#!/usr/bin/env bash
# transformers 5.10.4: the same limit of pixels, `size["longest_edge"]`, lets GLM-4V's image processor show half the
# pixels that Qwen2-VL's shows. GLM's counts a picture as a film of `temporal_patch_size` = 2 frames.
#
#   a picture of 2000 x 2000, limits of 112 * 112 and 1,000,000 pixels       side that the model is shown
#   Qwen2-VL (factor 28)                                                       980   (960,400 pixels)
#   GLM-4V (factor 28)                                                         700   (490,000 pixels)
#
# Both name the limit alike in preprocessor_config.json, so a size that is computed by one family's rule is wrong
# for the other by the root of 2. Boxes in pixels after resizing are then wrong by that ratio; GLM writes
# thousandths, which are not, but tokens and detail are still half of what the limit says.
#
# Seen with Python 3.11, transformers 5.10.4, Pillow 12.0.0, numpy 2.3.5. Exits 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check transformers==5.10.4 pillow==12.0.0 numpy==2.3.5
cat >sides.py <<'PY'
from PIL import Image
from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

picture = Image.new("RGB", (2000, 2000))
limits = {"shortest_edge": 112 * 112, "longest_edge": 1_000_000}
for kind in (Qwen2VLImageProcessorPil, Glm4vImageProcessorPil):
    processor = kind(size=limits)
    grid = processor(images=picture, return_tensors="np")["image_grid_thw"][0]
    print(int(grid[1]) * processor.patch_size)
PY
mapfile -t side < <(env/bin/python sides.py 2>errors || true)
[[ ${#side[@]} == 2 ]] || { cat errors >&2; exit 1; }
printf 'Qwen2-VL: %s x %s, GLM-4V: %s x %s\n' "${side[0]}" "${side[0]}" "${side[1]}" "${side[1]}"
[[ "${side[*]}" == '980 700' ]]
