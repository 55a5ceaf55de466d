#!/usr/bin/env bash
# Makes the virtual environment that the recipes and the tests run in. Where it is up to date, this
# does nothing.
#
#     recipes/setup.sh
#
# Settings (environment variables):
#   VENV             where it lies                            (.venv in this checkout)
#   PYTHON           interpreter, 3.10 to 3.12                (the first found: 3.11, 3.12, 3.10;
#                                                              for GPUs 3.12 before 3.11)
#   TAG_DEVICE       cpu or gpu                               (gpu if an NVIDIA GPU is seen)
#   DRIVER_CHECK     0: install for GPUs whatever driver is here
#   FLASH_ATTENTION  0: do not look for a wheel of flash-attention
#   TORCH_INDEX_URL  one more package index to look for PyTorch's CPU build in
#   UV               0: install with pip alone
#
# Versions are pinned in recipes/constraints. Packages come from where pip is configured to take them, by
# uv, or where that fails, by pip. The log is VENV/setup.log. A run that was killed is repaired by the
# next one. GPU: flash-attention is taken from its own release where that has a wheel
# for this PyTorch, CUDA and Python; else training goes without, unless you install one.

set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
case ${1:-} in
    '') ;;
    -h | --help) usage && exit ;;
    *) die "unknown argument $1 (see --help)" ;;
esac
[[ $(uname -s) == Linux ]] || die "verl and vLLM run on Linux only"

cd "$REPO"
DEVICE=$(device)
TORCH_CPU=$(grep -m1 '^torch==' recipes/constraints/cpu.in)
LOG=$VENV/setup.log
STATE=$VENV/.tag-rewards # "unfinished", or the fingerprint of what was installed
FLASH_ATTENTION_VERSION=2.8.3.post2

# Everything that decides what is installed.
fingerprint() {
    local inputs=(pyproject.toml recipes/setup.sh recipes/uv_install.py recipes/cpu/pyproject.toml
        recipes/cpu/vllm_alias/pyproject.toml recipes/constraints/*.{in,txt})
    { sha256sum "${inputs[@]}" && say "$DEVICE" "$REPO" "${PYTHON:-}"; } | sha256sum | cut -d' ' -f1
}

# The first interpreter that runs, has a fitting version and can make environments.
find_python() {
    local candidate candidates=(python3.11 python3.12 python3.10 python3 python)
    # Wheels of flash-attention that others build are for 3.12 first.
    [[ $DEVICE == cpu ]] || candidates=(python3.12 "${candidates[@]}")
    [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c '
import sys, ensurepip, venv
sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))' >/dev/null 2>&1; then
            say "$candidate"
            return
        fi
    done
    if [[ -n ${PYTHON:-} ]]; then
        die "PYTHON=$PYTHON: not a Python 3.10 to 3.12 with the venv module"
    fi
    die "no Python 3.10 to 3.12 with the venv module found: install one (on Debian the package" \
        "python3-venv too), or name one with PYTHON=/path/to/python"
}

# step NAME COMMAND...: runs it with its output in the log; on the screen its name and its seconds.
step() {
    local name=$1 start=$SECONDS
    shift
    printf '  %-46s' "$name"
    if ! "$@" >>"$LOG" 2>&1; then
        printf 'failed\n'
        grep -iE '^(ERROR|error|.*Error:)' "$LOG" | tail -n 1 >&2 || true
        die "setup did not finish ($name); the whole log: $LOG"
    fi
    printf '%5d s\n' $((SECONDS - start))
}

pip() { "$VENV/bin/python" -m pip install --progress-bar off -c "$CONSTRAINTS" "$@"; }

uv() { "$VENV/bin/python" recipes/uv_install.py -c "$CONSTRAINTS" "$@"; }

# install ARGUMENT...: with uv, which fetches and unpacks many packages at a time; or with pip, for which
# the arguments are the same.
install() {
    [[ ${UV:-1} == 0 ]] || ! uv "$@" || return 0
    say "--- with pip: $*"
    pip "$@"
}

# Where uv cannot be had, all goes without.
make_venv() {
    "$1" -m venv "$VENV" || return
    pip -r recipes/constraints/tools.in || pip -r <(grep -vx uv recipes/constraints/tools.in)
}

has_cpu_torch() {
    [[ $("$VENV/bin/python" -m pip list --format freeze 2>/dev/null) == *"$TORCH_CPU"* ]]
}

# PyTorch's CPU build is not where other packages are: tries in turn what may have it, and names in
# TORCH_FROM what had it. `+cpu` in the version keeps a CUDA build (gigabytes) from being taken.
install_cpu_torch() {
    TORCH_FROM="there already"
    has_cpu_torch && return
    TORCH_FROM="from pip as it is configured${TORCH_INDEX_URL:+, with TORCH_INDEX_URL}"
    say "--- $TORCH_CPU $TORCH_FROM?"
    install ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} "$TORCH_CPU" && return
    TORCH_FROM="from PyTorch's own index, through uv"
    say "--- $TORCH_CPU $TORCH_FROM?"
    uv --torch-backend cpu "$TORCH_CPU" && return
    say "ERROR: found no CPU build of PyTorch ($TORCH_CPU for Python $PYTHON_VERSION): not with pip" \
        "as it is configured, nor with uv in PyTorch's own index; set TORCH_INDEX_URL to an index" \
        "that has it and run this again"
    return 1
}

install_stack() {
    if [[ $DEVICE == cpu ]]; then
        install --no-build-isolation recipes/cpu/vllm_alias -r recipes/constraints/cpu.in
    else
        install -r recipes/constraints/gpu.in
    fi
}

# A wheel of flash-attention's own release, if it has one for the PyTorch here. Its source distribution
# is never taken: it compiles for hours. One that does not load is removed.
install_flash_attention() {
    local wheel
    # shellcheck disable=SC2046
    wheel=$(flash_attention_wheel "$FLASH_ATTENTION_VERSION" "$PYTHON_VERSION" $("$VENV/bin/python" -c \
        'import torch as t; print(t.__version__, t.version.cuda, t.compiled_with_cxx11_abi())') "$(uname -m)")
    FLASH_ATTENTION_WHEEL=https://github.com/Dao-AILab/flash-attention/releases/download/v$FLASH_ATTENTION_VERSION/$wheel
    say "--- $FLASH_ATTENTION_WHEEL?"
    pip --retries 1 --timeout 30 "${FLASH_ATTENTION_WHEEL/+/%2B}" || return 1
    "$VENV/bin/python" -c 'import torch, flash_attn' && return
    "$VENV/bin/python" -m pip uninstall --yes flash-attn
    return 1
}

# Without it training is slower and needs more memory, but trains the same: no reason to end here.
try_flash_attention() {
    [[ $DEVICE == gpu && ${FLASH_ATTENTION:-1} != 0 ]] || return 0
    if has_flash_attention; then
        say "  flash-attention: there already"
    elif install_flash_attention >>"$LOG" 2>&1; then
        say "  flash-attention: ${FLASH_ATTENTION_WHEEL##*/}"
    else
        say "  flash-attention: none (not to be had or not to be loaded: $FLASH_ATTENTION_WHEEL)." \
            "Training goes on without; a wheel of your own: $VENV/bin/pip install WHEEL"
    fi
}

install_here() {
    local packages=(-e '.[dev]')
    [[ $DEVICE == gpu ]] || packages+=(-e recipes/cpu)
    install --no-build-isolation "${packages[@]}"
}

# uv leaves compiling to the first import. What each of a run's many processes imports is compiled here, on
# all cores; a file that is no Python of this version is none that is imported.
compile() {
    local site
    site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    "$VENV/bin/python" -m compileall -q -j 0 "$site"/{ray,torch,transformers,verl,vllm} || true
}

check() {
    unset PYTHONDONTWRITEBYTECODE # what these imports compile, later ones need not
    if [[ $DEVICE == cpu ]]; then
        VERL_PLATFORM=cpu "$VENV/bin/python" -m tag_rewards_verl_cpu
    else
        check_torch && "$VENV/bin/python" -c 'import tag_rewards, verl, vllm'
    fi
}

# What NVIDIA says a CUDA of that number needs at least (docs.nvidia.com/deploy/cuda-compatibility).
declare -A DRIVER_OF_CUDA=([12]=525 [13]=580)

# Whether the driver is one for the set's CUDA. Where none can be asked, as in the building of an
# image, nothing is known.
check_driver() {
    local cuda driver
    [[ $DEVICE == gpu && ${DRIVER_CHECK:-1} != 0 ]] || return 0
    cuda=$(sed -n 's/^cuda-toolkit==\([0-9]*\).*/\1/p' "$CONSTRAINTS")
    driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1 || true)
    [[ $driver =~ ^([0-9]+)\. && -n ${DRIVER_OF_CUDA[$cuda]:-} ]] || return 0
    ((BASH_REMATCH[1] >= DRIVER_OF_CUDA[$cuda])) ||
        die "the NVIDIA driver is $driver, and this set's CUDA $cuda needs ${DRIVER_OF_CUDA[$cuda]} or" \
            "later: update the driver (or set DRIVER_CHECK=0 where NVIDIA's package cuda-compat stands in for it)"
}

# --- up to date? -------------------------------------------------------------------------------
mkdir -p "$VENV"
VENV=$(cd "$VENV" && pwd)
LOCK=.setup.lock # not .lock, which is uv's
exec 9>"$VENV/$LOCK"
flock --nonblock 9 || { say "waiting for another setup of $VENV" && flock 9; }

WANTED=$(fingerprint)
state=$(cat "$STATE" 2>/dev/null || true)
[[ $state != "$WANTED" ]] || exit 0

# --- no: install -------------------------------------------------------------------------------
if [[ -z $state && $(ls -A "$VENV") != "$LOCK" ]]; then
    die "$VENV was not made by this script: remove it, choose another with VENV, or keep it as it" \
        "is with TAG_SETUP=0"
fi
base=$(find_python)
PYTHON_VERSION=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
CONSTRAINTS=recipes/constraints/$DEVICE-py$PYTHON_VERSION.txt
check_driver

# What a killed run left is not worth guessing about; what another Python or device made does not fit.
fits="$DEVICE $PYTHON_VERSION"
if [[ $state == unfinished || $(cat "$VENV/.made-for" 2>/dev/null || true) != "$fits" ]]; then
    find "$VENV" -mindepth 1 -maxdepth 1 ! -name "$LOCK" -exec rm -rf {} +
fi
say unfinished >"$STATE"
say "$fits" >"$VENV/.made-for"
: >"$LOG"

say "Setting up $VENV ($DEVICE, Python $PYTHON_VERSION; log: $LOG)"
start=$SECONDS
# A wheel that is built here to be unpacked at once is not compressed: 100 MB of a face detector's models.
printf '[bdist_wheel]\ncompression = stored\n' >"$VENV/.build.cfg"
export DIST_EXTRA_CONFIG=$VENV/.build.cfg
step "virtual environment" make_venv "$base"
if [[ $DEVICE == cpu ]]; then
    step "PyTorch, CPU build" install_cpu_torch
    say "    $TORCH_FROM"
fi
step "verl, vLLM, Ray" install_stack
try_flash_attention
step "tag-rewards" install_here
step "bytecode" compile
step "check" check
say "$WANTED" >"$STATE"
say "Done in $((SECONDS - start)) s."
