#!/usr/bin/env bash
# The tests that need no training stack, in an environment of their own with the oldest or the newest
# versions that pyproject.toml allows.
#
#   bash tests/versions.sh oldest|newest [PYTEST ARGUMENT...]
#
# PYTHON is a version or an interpreter (3.10 for the oldest, 3.13 for the newest): uv looks for it, and
# fetches it where there is none. The environment, build/test-oldest or build/test-newest, is made anew
# each time.
set -euo pipefail
cd "$(dirname "$0")/.."
case ${1:-} in
    oldest) resolution=lowest-direct python=${PYTHON:-3.10} ;;
    newest) resolution=highest python=${PYTHON:-3.13} ;;
    *) sed -n '2,/^set/ s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
venv=$PWD/build/test-$1
uv=$(command -v uv) || {
    python3 -m venv build/uv
    build/uv/bin/pip install --quiet uv
    uv=build/uv/bin/uv
}

"$uv" venv --quiet --clear --python "$python" "$venv"
"$uv" pip install --quiet --python "$venv/bin/python" --resolution "$resolution" -e '.[light]'
"$uv" pip list --python "$venv/bin/python"
# A program of the package is found on the PATH, and no recipe may set up anything.
unset VENV
PATH=$venv/bin:$PATH TAG_SETUP=0 "$venv/bin/pytest" -m 'not stack' --hypothesis-profile=quick -p no:cacheprovider "${@:2}"
