#!/usr/bin/env bash
# Usage: bash benchmarks/gpu_check.sh [--steps N] [--tokens N] [--layers N]
#
# Trains a random Qwen3-VL of real width for some steps as stage 1 does, and says how fast it was and
# what it took of the GPU's memory, beside the estimate. One card, less than ten minutes, PyTorch 2.6 or
# later and transformers 5 or later; neither verl, vLLM, Ray nor any download. Without a GPU a tiny
# model shows that the script works. benchmarks/gpu_check.py says what is measured.
#
# Settings (environment variables):
#   PYTHON   interpreter with PyTorch and transformers    python3

set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
case ${1:-} in -h | --help) sed -n '2,/^$/ s/^# \{0,1\}//p' "$0" && exit ;; esac
python=${PYTHON:-python3}
"$python" -c 'import torch, transformers' 2>/dev/null || {
    printf 'error: %s has no PyTorch or no transformers: name one that has with PYTHON=\n' "$python" >&2
    exit 1
}
PYTHONPATH=$repo${PYTHONPATH:+:$PYTHONPATH} exec timeout 600 "$python" "$repo/benchmarks/gpu_check.py" "$@"
