#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93, x86-64: which pixels `cv2.resize(..., INTER_CUBIC)` gives depends on the
# CPU. Intel's IPP, which is in the wheel, has code of its own for each set of instructions.
#
#   six pictures of 48 to 448 pixels enlarged to 112 to 1,024, values that differ (by 1)
#   IPP for SSE4.2 against IPP for AVX2              6 of 4,161,792
#   OpenCV's own code against IPP for AVX2           194,082 of 4,161,792
#   the same with INTER_LINEAR or INTER_AREA         0
#
# So faces that are enlarged to a model's canvas, such as FER2013's of 48 pixels, are not the same bytes on two
# machines, and a checksum of pixels is the CPU's too. `OPENCV_IPP=sse42`, set before cv2 is imported, gives
# one result on all of them.
#
# Seen with Python 3.11, opencv-python-headless 5.0.0.93, numpy 2.3.5. Needs a CPU with AVX2, and exits 0
# while it is so.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.3.5
cat >enlarge.py <<'PY'
import sys

import cv2
import numpy as np

methods = {"cubic": cv2.INTER_CUBIC, "linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}
found = {}
for name, method in methods.items():
    values = []
    for side, to in ((48, 112), (48, 224), (100, 224), (100, 336), (224, 336), (448, 1024)):
        noise = np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8)
        picture = cv2.GaussianBlur(noise, (0, 0), 2)
        values.append(cv2.resize(picture, (to, to), interpolation=method).ravel())
    found[name] = np.concatenate(values).astype(int)
np.savez(sys.argv[1], **found)
PY
for code in sse42 avx2 disabled; do OPENCV_IPP=$code env/bin/python enlarge.py "$code.npz" 2>>errors || { cat errors >&2; exit 1; }; done
env/bin/python - <<'PY'
import sys

import numpy as np

avx2, *others = (np.load(f"{code}.npz") for code in ("avx2", "sse42", "disabled"))
differ = {}
for code, other in zip(("sse42", "disabled"), others):
    for name in avx2.files:
        by = np.abs(other[name] - avx2[name])
        differ[code, name] = (int((by > 0).sum()), int(by.max()))
        print(f"{code:8} against avx2, {name:6}: {differ[code, name][0]:,} of {by.size:,} by {by.max()}")
one = {key: by for key, (_, by) in differ.items()}
if one != {key: int(key[1] == "cubic") for key in one}:
    sys.exit("no longer so")
PY
