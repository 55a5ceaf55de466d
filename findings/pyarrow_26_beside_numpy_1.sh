#!/usr/bin/env bash
# pyarrow 26: pip installs it beside numpy 1.26, since it names no dependency, and then it cannot be imported.
#
#   pip install numpy==1.26.4 pyarrow==26.0.1   -> exit code 0
#   python -c 'import pyarrow'                  -> ImportError: pyarrow requires NumPy 2.0 or newer, found 1.26.4
#
# An environment that pins numpy 1 (openface-test 0.1.26, libreface 0.2.0) needs `pyarrow<26`: 25 is imported there.
#
# Seen with Python 3.11, pyarrow 26.0.1 and 25.0.1, numpy 1.26.4. Exits 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check numpy==1.26.4 pyarrow==26.0.1
said=$(env/bin/python -c 'import pyarrow' 2>&1 | tail -1 || true)
env/bin/pip install --quiet --disable-pip-version-check pyarrow==25.0.1
older=$(env/bin/python -c 'import pyarrow; print("imported", pyarrow.__version__)')
printf 'pyarrow 26.0.1: %s\npyarrow 25.0.1: %s\n' "$said" "$older"
[[ $said == 'ImportError: pyarrow requires NumPy 2.0 or newer, found 1.26.4' && $older == 'imported 25.0.1' ]]
