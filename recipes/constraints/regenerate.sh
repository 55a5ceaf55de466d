#!/usr/bin/env bash
# Resolves the pinned sets anew: recipes/constraints/{cpu,gpu}-py3.{10,11,12}.txt.
#
#     make constraints [CONSTRAINTS="OPTIONS OF UV"], or recipes/constraints/regenerate.sh [OPTIONS OF UV]
#
# Needs uv. Versions that a file holds already are kept where they still fit, so that without options
# nothing changes; `--upgrade` takes the newest, `--upgrade-package NAME` that of one package. What
# changed is said, a package a line.
#
# Resolving needs only what PyTorch's CPU build says of itself. Where VENV (.venv) has that build, a
# stand-in with its metadata is resolved; else it comes from PyTorch's own index, which uv knows, or
# from the folder of wheels that `TORCH_LINKS` names.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
case ${1:-} in -h | --help) sed -n '2,/^$/ s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit ;; esac

VENV=${VENV:-.venv}
uv=$(PATH=$VENV/bin:$PATH command -v uv) || { echo "error: no uv: run recipes/setup.sh, or install it" >&2 && exit 1; }
torch=$(sed -n 's/^torch==//p' recipes/constraints/cpu.in)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# stand_in FOLDER: a wheel for any Python that says of itself what VENV's PyTorch says, if that is the one.
stand_in() {
    "$VENV/bin/python" - "$torch" "$1" 2>/dev/null <<'EOF_PY'
import sys, zipfile
from importlib import metadata

version, folder = sys.argv[1:]
torch = metadata.distribution("torch")
if torch.version != version:
    sys.exit(1)
info = f"torch-{version}.dist-info"
with zipfile.ZipFile(f"{folder}/torch-{version}-py3-none-any.whl", "w") as wheel:
    wheel.writestr(f"{info}/METADATA", torch.read_text("METADATA"))
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(f"{info}/RECORD", "")
EOF_PY
}

if [[ -n ${TORCH_LINKS:-} ]]; then
    torch_from=(--find-links "$TORCH_LINKS")
elif stand_in "$work"; then
    torch_from=(--find-links "$work")
else
    torch_from=(--torch-backend cpu)
fi

for device in cpu gpu; do
    [[ $device == cpu ]] || torch_from=()
    for python in 3.10 3.11 3.12; do
        file=recipes/constraints/$device-py$python.txt
        cp "$file" "$work/before"
        "$uv" pip compile --quiet --python-version "$python" --python-platform x86_64-manylinux_2_28 \
            --no-annotate --no-header --no-emit-index-url --no-emit-find-links --allow-unsafe \
            "${torch_from[@]}" "$@" --extra dev --output-file "$file" \
            pyproject.toml recipes/constraints/{"$device",tools}.in >/dev/null
        # Of its companions any build will do: only torch itself must be the CPU's.
        sed -i -E 's/^(torch[a-z]+==[^+]+)\+cpu$/\1/' "$file"
        sed -i '1i # Written by recipes/constraints/regenerate.sh: every package of the '"$device"' set.' "$file"
        printf '%s: %s packages\n' "$file" "$(grep -c == "$file")"
        diff --old-line-format='  - %L' --new-line-format='  + %L' --unchanged-line-format= "$work/before" "$file" || true
    done
done
