#!/usr/bin/env bash
# lazy-loader 0.4, `attach_stub`: a function that a package hands out under the name of its own module
# (`from .prepare import prepare`) is the function or the module, depending on what was imported first.
#
#   from pkg import prepare                      -> function
#   import pkg.prepare; from pkg import prepare  -> module
#
# The library puts the function in the module's place when the name is first asked for, but once the
# submodule has been imported the package has the attribute already, and `__getattr__` is not called.
# An eager `__init__` gives the function in both orders. So in tag-rewards no public name of a package
# is the name of one of its modules (tests/test_faces.py).
#
# Seen with Python 3.11 and lazy-loader 0.4. Exits 0 while it is so.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check lazy-loader==0.4
mkdir pkg
printf 'def prepare(): ...\n' >pkg/prepare.py
printf 'from .prepare import prepare\n' >pkg/__init__.pyi
cat >pkg/__init__.py <<'EOF'
import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
EOF
first=$(env/bin/python -c 'from pkg import prepare; print(type(prepare).__name__)')
second=$(env/bin/python -c 'import pkg.prepare; from pkg import prepare; print(type(prepare).__name__)')
printf 'from pkg import prepare:                       %s\n' "$first"
printf 'import pkg.prepare; from pkg import prepare:   %s\n' "$second"
[[ $first == function && $second == module ]]
