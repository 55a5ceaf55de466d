#!/usr/bin/env bash
# Resolves the pinned sets anew: recipes/constraints/{cpu,gpu}-py3.{10,11,12}.txt.
#
#     recipes/constraints/regenerate.sh [UV OPTIONS]
#
# Needs uv. Versions that a file holds already are kept where they still fit; `--upgrade` takes the
# newest, `--upgrade-package NAME` that of one package. PyTorch's CPU build comes from PyTorch's own
# index, which uv knows; `TORCH_LINKS` names a folder of wheels (or stand-ins with their metadata)
# to take it from instead.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
case ${1:-} in -h | --help) sed -n '2,/^$/ s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && exit ;; esac

for device in cpu gpu; do
    torch_from=()
    if [[ $device == cpu ]]; then
        torch_from=(--torch-backend cpu)
        [[ -z ${TORCH_LINKS:-} ]] || torch_from=(--find-links "$TORCH_LINKS")
    fi
    for python in 3.10 3.11 3.12; do
        file=recipes/constraints/$device-py$python.txt
        uv pip compile --quiet --python-version "$python" --python-platform x86_64-manylinux_2_28 \
            --no-annotate --no-header --no-emit-index-url --no-emit-find-links --allow-unsafe \
            "${torch_from[@]}" "$@" --extra dev --output-file "$file" \
            pyproject.toml recipes/constraints/{"$device",tools}.in >/dev/null
        # Of its companions any build will do: only torch itself must be the CPU's.
        sed -i -E 's/^(torch[a-z]+==[^+]+)\+cpu$/\1/' "$file"
        sed -i '1i # Written by recipes/constraints/regenerate.sh: every package of the '"$device"' set.' "$file"
        printf '%s: %s packages\n' "$file" "$(grep -c == "$file")"
    done
done
