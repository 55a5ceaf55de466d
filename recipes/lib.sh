# shellcheck shell=bash
# Helpers shared by the recipes; to be sourced. Sets REPO and VENV.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=${VENV:-$REPO/.venv}
[[ $VENV == /* ]] || VENV=$PWD/$VENV

say() { printf '%s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# The comment at the top of the calling script, which is its --help.
usage() { sed -n '2,/^$/ s/^# \{0,1\}//p' "$0"; }

# `gpu` or `cpu`: TAG_DEVICE if set, else what the machine has.
device() {
    case ${TAG_DEVICE:-} in
        cpu | gpu) say "$TAG_DEVICE" ;;
        '') (($(count_gpus))) && say gpu || say cpu ;;
        *) die "TAG_DEVICE=$TAG_DEVICE: must be cpu or gpu" ;;
    esac
}

# begin_recipe ARGUMENT...: answers --help; sets `device`, and OUT as an absolute path.
begin_recipe() {
    case ${1:-} in -h | --help) usage && exit 0 ;; esac
    device=$(device)
    OUT=$(realpath -m "${OUT:-$REPO/runs/tag}")
}

# How many GPUs a program will see: of those that NVIDIA's driver shows, or where a container lacks its
# nvidia-smi, that are in /dev, the ones that CUDA_VISIBLE_DEVICES leaves.
count_gpus() {
    local there visible=0 gpu
    there=$({ nvidia-smi -L 2>/dev/null || compgen -G '/dev/nvidia[0-9]*' || true; } | wc -l)
    if ((there == 0)) || [[ -z ${CUDA_VISIBLE_DEVICES+set} ]]; then
        say "$there"
        return
    fi
    for gpu in ${CUDA_VISIBLE_DEVICES//,/ }; do
        [[ $gpu != -* ]] || break # CUDA reads no further
        visible=$((visible + 1))
    done
    say "$visible"
}

# Makes or updates the environment. TAG_SETUP=0 takes VENV as it is (a container with verl, say).
set_up() {
    [[ ${TAG_SETUP:-1} == 0 ]] || "$REPO/recipes/setup.sh"
    [[ -n ${ENDPOINT:-} ]] || check_torch
}

# check_torch: on a machine with GPUs, whether PyTorch in VENV is a build for them, and sees them.
check_torch() {
    [[ $(device) == gpu ]] || return 0
    "$VENV/bin/python" - "$(count_gpus)" <<'EOF'
import sys
import torch

here = f"error: PyTorch {torch.__version__} in {sys.prefix}"
if torch.version.cuda is None:
    sys.exit(f"{here} is a build without CUDA, and this machine has GPUs: install a build with CUDA, "
             "or set TAG_DEVICE=cpu")
if int(sys.argv[1]) and not torch.cuda.is_available():
    sys.exit(f"{here} was built for CUDA {torch.version.cuda} and cannot use the {sys.argv[1]} GPUs "
             "here: is the driver too old for it?")
EOF
}

# What each process of a run without a GPU needs to know.
cpu_environment() {
    export VERL_PLATFORM=cpu
    export VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-1} # GiB
}

# Whether flash-attention can be used: verl packs sequences with nothing else.
has_flash_attention() {
    "$VENV/bin/python" -c \
        'import importlib.util as u, sys; sys.exit(not u.find_spec("flash_attn"))' 2>/dev/null
}

# flash_attention_wheel VERSION PYTHON TORCH CUDA ABI MACHINE: the name of the wheel in flash-attention's own
# release for that Python and that build of PyTorch, as `get_wheel_url` of its setup.py makes it. CUDA counts
# by its major version, PyTorch by its minor one; ABI is torch.compiled_with_cxx11_abi().
flash_attention_wheel() {
    local version=$1 python=cp${2/./} torch cuda=${4%%.*} abi=${5^^} machine=$6
    torch=$(cut -d. -f1,2 <<<"${3%%[+]*}")
    say "flash_attn-$version+cu${cuda}torch${torch}cxx11abi$abi-$python-$python-linux_$machine.whl"
}

# parquet_rows FILE: how many it has; 0 if it is not there.
parquet_rows() {
    [[ -f $1 ]] || { say 0 && return; }
    "$VENV/bin/python" -c \
        'import sys, pyarrow.parquet as pq; print(pq.read_metadata(sys.argv[1]).num_rows)' "$1"
}

# has_weights FOLDER: whether a Hugging Face model was written there.
has_weights() {
    [[ -n $(find "$1/" -maxdepth 1 -name '*.safetensors' -print -quit 2>/dev/null) ]]
}

# has_adapter FOLDER: whether a LoRA adapter is in or beside a model's weights, with which it would load
# as another model.
has_adapter() {
    local found
    found=$("$VENV/bin/python" -c 'import sys, pathlib
from tag_rewards.integrations.verl.lora import has_adapter
print(has_adapter(pathlib.Path(sys.argv[1])))' "$1") || die "$1: its weights cannot be looked at"
    [[ $found == True ]]
}

# no_adapter MODEL: refuses a model to begin with that has one.
no_adapter() {
    ! has_adapter "$1" || die "MODEL=$1: has a LoRA adapter beside its weights or among them, and would" \
        "load as another model: python -m tag_rewards.integrations.verl.lora makes one of both"
}

# folded FOLDER OUT: the model of FOLDER, or where LoRA trained it, OUT with the adapter in its weights.
folded() {
    if has_adapter "$1"; then
        rm -rf "$2" "$2.part"
        "$VENV/bin/python" -m tag_rewards.integrations.verl.lora "$1" "$2.part" >&2 && mv "$2.part" "$2"
        say "$2"
    else
        say "$1"
    fi
}

# is_count NAME...: each variable of that name that is set holds a whole number above 0.
is_count() {
    local name
    for name; do
        [[ ${!name:-1} =~ ^[1-9][0-9]*$ ]] || die "$name=${!name}: must be a whole number above 0"
    done
}

# begin_verl NAME: verl is given recipes/config/NAME_cpu.yaml, NAME_gpu.yaml, or the one of PRESET over
# the latter, and what is added to `for_verl`.
begin_verl() {
    local presets
    config=$1 variant=${PRESET:-$device}
    if [[ -n ${PRESET:-} ]]; then
        presets=$(cd "$REPO/recipes/config" && printf '%s\n' "$1"_*x*.yaml | sed "s/$1_\(.*\).yaml/\1/" | tr '\n' ' ')
        [[ " $presets" == *" $PRESET "* ]] || die "PRESET=$PRESET: there are $presets"
        [[ $device == gpu ]] || die "PRESET=$PRESET: needs GPUs, and none is seen here"
    fi
    for_verl=(--config-dir="$REPO/recipes/config" --config-name="${config}_$variant")
}

# configured KEY: its value in these files, for what a script has to know itself; the last one holds.
configured() {
    sed -n "s/^ *$1: *\([^ #$][^ #]*\).*/\1/p" "$REPO/recipes/config/$config"{,_"$device",_"$variant"}.yaml |
        tail -n 1
}

# gpu_settings: MODEL, LORA, NGPUS and NNODES of a run on GPUs: of PRESET where they are not set.
gpu_settings() {
    if [[ -n ${PRESET:-} ]]; then
        MODEL=${MODEL:-$(configured path)} LORA=${LORA:-$(configured lora_rank)}
        NGPUS=${NGPUS:-$(configured n_gpus_per_node)} NNODES=${NNODES:-$(configured nnodes)}
    fi
    NGPUS=${NGPUS:-$(count_gpus)} MODEL=${MODEL:-Qwen/Qwen3-VL-8B-Instruct} TIMEOUT=${TIMEOUT:-604800}
    FLASH_ATTENTION=${FLASH_ATTENTION:-$(has_flash_attention && echo 1 || echo 0)}
}

# gpu_memory: GiB of the smallest GPU; where no driver says it, what PRESET is for; else nothing.
gpu_memory() {
    local mib
    mib=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits 2>/dev/null | sort -n | head -n 1 || true)
    if [[ $mib =~ ^[0-9]+$ ]]; then
        awk -v mib="$mib" 'BEGIN { printf "%.1f\n", mib / 1024 }'
    elif [[ -n ${PRESET:-} ]]; then
        say "${PRESET##*x}"
    fi
}

# check_memory MODEL ARGUMENT...: says what verl needs of a GPU's memory for it, and refuses what cannot
# fit, unless MEMORY_CHECK=0.
check_memory() {
    local model=$1
    shift
    [[ $device == gpu ]] || return 0
    "$VENV/bin/python" -m tag_rewards.integrations.verl.memory "$model" "$(gpu_memory)" \
        "${for_verl[@]}" "$@" || [[ ${MEMORY_CHECK:-1} == 0 ]] || exit 1
}

# set_where_given NAME KEY ...: verl's KEY becomes the variable NAME where that is set.
set_where_given() {
    while (($#)); do
        [[ -z ${!1:-} ]] || for_verl+=("$2=${!1}")
        shift 2
    done
}

# set_model PREFIX: how verl loads the model, where FLASH_ATTENTION and FREEZE_VISION want it otherwise.
set_model() {
    # verl packs sequences with flash-attention only.
    [[ $device == cpu || $FLASH_ATTENTION == 1 ]] ||
        for_verl+=("$1.use_remove_padding=False" "+$1.override_config.attn_implementation=sdpa")
    [[ $FREEZE_VISION == 1 ]] || for_verl+=("$1.external_lib=null")
    # Merged for the rollouts too: vLLM then needs to know nothing of it.
    [[ -z ${LORA:-} ]] ||
        for_verl+=("$1.lora_rank=$LORA" "$1.lora_alpha=$((2 * LORA))" "$1.lora.merge=True")
}

# quoted TEXT: as a string for hydra, whatever spaces, commas, brackets, equal signs and quotes it has.
quoted() {
    # A backslash stands for itself, but for one that leads to a quote.
    printf "'%s'" "$(sed "s/\(\\\\*\)'/\1\1\\\\'/g; s/\\\\*\$/&&/" <<<"$1")"
}

# end_dry_run ARGUMENT...: with DRY_RUN=1 prints what verl would be given, and ends.
end_dry_run() {
    [[ ${DRY_RUN:-} == 1 ]] || return 0
    printf '%s\n' "${for_verl[@]}" "$@"
    exit 0
}

# set_thinking: what verl tells the chat template, where ENABLE_THINKING says it.
set_thinking() {
    [[ -z ${ENABLE_THINKING:-} ]] ||
        for_verl+=("++data.apply_chat_template_kwargs.enable_thinking=$ENABLE_THINKING")
}

check_thinking() {
    [[ ${ENABLE_THINKING:-true} =~ ^(true|false)$ ]] ||
        die "ENABLE_THINKING=$ENABLE_THINKING: must be true or false"
}

# thinking_option: the same for our own commands.
thinking_option() {
    case ${ENABLE_THINKING:-} in
        true) say --enable-thinking ;;
        false) say --no-enable-thinking ;;
    esac
}

# model_says WHAT MODEL [FORM]: `thinks`: true if MODEL, as it is asked, reasons before it writes; or
# `sentences`: what its own files say of images, boxes and reasoning, and of being asked for FORM.
model_says() {
    "$VENV/bin/python" - "$1" "$2" "${3:-}" "${ENABLE_THINKING:-}" "${CANVAS:-512}" <<'EOF'
import sys
from tag_rewards.errors import InputError
from tag_rewards.model_images import read_model_images
from tag_rewards.thinking import read_thinking

what, model, form, enable_thinking, canvas = sys.argv[1:]
try:
    thinking = read_thinking(model)
    thinks = thinking.with_setting({"true": True, "false": False}.get(enable_thinking))
    if what == "thinks":
        print("true" if thinks else "false")
    else:
        images = read_model_images(model)
        print(images.sentence(int(canvas), int(canvas)))
        if form not in ("", "model"):
            images.require_form(form)
        if form:
            print(images.asked_in(images.form if form == "model" else form))
        asked = {True: "it reasons first", False: "it does not", None: "that is up to the model"}
        print(f"its chat template: {thinking.sentence()}; as it is asked, {asked[thinks]}")
except (InputError, OSError) as error:
    sys.exit(f"error: {error}")
EOF
}

# decided FILE MODEL [FORM]: says what MODEL's own files decide, and notes it among the settings in FILE.
decided() {
    local said line
    said=$(model_says sentences "$2" "${3:-}") || exit 1
    while read -r line; do
        say "   $line"
        grep -qxF "# $line" "$1" || printf '# %s\n' "$line" >>"$1"
    done <<<"$said"
}

# same_settings FILE NAME...: FILE says what its folder was begun with, and the variables of those names
# must still be so. Going on with another model, say, would mix two runs in one result. Lines with # are
# what `decided` notes.
same_settings() {
    local file=$1 name now changed
    shift
    now=$(for name; do printf '%s=%s\n' "$name" "${!name:-}"; done)
    mkdir -p "$(dirname "$file")"
    [[ -e $file ]] || printf '%s\n' "$now" >"$file"
    changed=$({ diff <(sed '/^#/d' "$file" | sort) <(printf '%s\n' "$now" | sort) || true; } | sed -n '/^[<>]/p' | tr '\n' ' ')
    [[ -z $changed ]] || die "$(dirname "$file") holds a run with other settings ($changed):" \
        "give another OUT, or remove that folder"
}

# run_setting NAME: what the run in OUT was begun with.
run_setting() { sed -n "s/^$1=//p" "$OUT/settings.txt" 2>/dev/null || true; }

# run COMMAND...: with DRY_RUN=1 only prints it.
run() {
    local line
    if [[ ${DRY_RUN:-} == 1 ]]; then
        printf -v line '%q ' "$@"
        say "${line% }"
    else
        "$@"
    fi
}

# data_settings FORM: which data, and how a model is shown and asked about them; made faces and FORM
# by default.
data_settings() {
    SEED=${SEED:-0} TOP_K=${TOP_K:-8} N_TRAIN=${N_TRAIN:-2000} N_TEST=${N_TEST:-256}
    if [[ $device == gpu ]]; then
        CANVAS=${CANVAS:-512} PROMPT=${PROMPT:-tag}
    else
        CANVAS=${CANVAS:-112} PROMPT=${PROMPT:-short}
    fi
    # Runs of earlier versions have a box space where the model's own is meant now, and no FORM where it
    # is TAG's.
    BOX_SPACE=${BOX_SPACE:-$(run_setting BOX_SPACE)}
    BOX_SPACE=${BOX_SPACE:-model}
    if [[ -e $OUT/settings.txt && -z $(run_setting FORM) ]]; then FORM=${FORM:-tag}; else FORM=${FORM:-$1}; fi
    if [[ -z ${DATA:-} ]]; then
        [[ -z ${PROTOCOL:-}${OPENFACE:-}${EVIDENCE:-} ]] ||
            die "PROTOCOL, OPENFACE and EVIDENCE say what DATA is, but DATA is not set"
        SFT_BOX_JITTER=${SFT_BOX_JITTER:-0.18} SFT_BOX_GROWTH=${SFT_BOX_GROWTH:-0.2}
        SFT_AU_ERROR=${SFT_AU_ERROR:-0.12}
    else
        [[ -d $DATA ]] || die "DATA=$DATA: no such folder"
        DATA=$(realpath "$DATA")
        if [[ -n ${EVIDENCE:-} ]]; then
            [[ -e $EVIDENCE ]] || die "EVIDENCE=$EVIDENCE: no such folder or file"
            EVIDENCE=$(realpath "$EVIDENCE")
        else
            OPENFACE=${OPENFACE:-$DATA/openface}
        fi
        SFT_BOX_JITTER=${SFT_BOX_JITTER:-0} SFT_BOX_GROWTH=${SFT_BOX_GROWTH:-0}
        SFT_AU_ERROR=${SFT_AU_ERROR:-0}
    fi
    is_count CANVAS TOP_K N_TRAIN N_TEST
    check_thinking
}

# What of `data_settings` decides the files that `make_data` writes; the optional ones where they are set.
data_setting_names() {
    say DATA OPENFACE CANVAS BOX_SPACE PROMPT TOP_K SEED N_TRAIN N_TEST SFT_BOX_JITTER SFT_BOX_GROWTH \
        SFT_AU_ERROR ${PROTOCOL:+PROTOCOL} ${EVIDENCE:+EVIDENCE} ${PLACEMENT:+PLACEMENT} ${UNSURE:+UNSURE} $([[ $FORM == tag ]] || say FORM) \
        ${ENABLE_THINKING:+ENABLE_THINKING}
}

# make_data FOLDER MODEL: writes the parquet files of DATA, or of made faces, which it draws if need be,
# with boxes as MODEL writes them. Without MODEL, BOX_SPACE alone says how.
make_data() {
    local faces=${DATA:-$OUT/made_faces} what=() boxes=()
    [[ -z ${2:-} ]] || boxes=(--model "$2")
    [[ $BOX_SPACE == model ]] || boxes+=(--box-space "$BOX_SPACE")
    if [[ -z ${DATA:-} ]]; then
        what=(--protocol made-faces/test --data-source made_faces --openface "$faces/openface")
        [[ -d $faces ]] || run "$VENV/bin/tag-rewards" made-faces "$faces" --train "$N_TRAIN" \
            --test "$N_TEST" --size "$CANVAS" --seed "$SEED"
    else
        what=(${PROTOCOL:+--protocol "$PROTOCOL"})
        [[ ${ALLOW_MISMATCH:-} != 1 ]] || what+=(--allow-mismatch)
        if [[ -n ${EVIDENCE:-} ]]; then what+=(--evidence "$EVIDENCE"); else what+=(--openface "$OPENFACE"); fi
    fi
    run "$VENV/bin/tag-rewards" prepare "$faces" "${what[@]}" --out "$1" --canvas "$CANVAS" \
        "${boxes[@]}" --form "$FORM" $(thinking_option) --prompt "$PROMPT" --top-k "$TOP_K" --seed "$SEED" \
        --sft-box-jitter "$SFT_BOX_JITTER" --sft-box-growth "$SFT_BOX_GROWTH" \
        --sft-au-error "$SFT_AU_ERROR" ${PLACEMENT:+--placement "$PLACEMENT"} ${UNSURE:+--unsure "$UNSURE"}
}

# check_data MODEL FILE...: whether all rows are rows, with boxes where MODEL sees and writes them.
check_data() {
    "$VENV/bin/python" - "$@" <<'EOF'
import sys
from tag_rewards.errors import InputError
from tag_rewards.prepare import check_model_fits

model, *files = sys.argv[1:]
try:
    for path in files:
        print("  ", check_model_fits(model, path, verl=True))
except (InputError, OSError) as error:
    sys.exit(f"error: {error}")
EOF
}

# recorded_form DATA...: the form that these say their completions are in, files or what TRACES has;
# nothing if none says it. Refuses two.
recorded_form() {
    "$VENV/bin/python" - "$@" <<'EOF'
import sys
from pathlib import Path
from tag_rewards.errors import InputError
from tag_rewards.prepare.model_fits import recorded_form
from tag_rewards.sft_data import WeightedDataset

def file_of(data):
    path = Path(data)
    return path if path.is_file() else WeightedDataset.parse(data).folder / "sft_train.parquet"

try:
    print(recorded_form(map(file_of, sys.argv[1:])) or "")
except (InputError, OSError) as error:
    sys.exit(f"error: {error}")
EOF
}

# note_form FOLDER FORM: the model in FOLDER says from now on that it was trained to write in FORM.
note_form() {
    [[ -n $2 ]] || return 0
    "$VENV/bin/python" - "$@" <<'EOF'
import sys
from pathlib import Path
from tag_rewards.prepare.model_fits import note_form

note_form(Path(sys.argv[1]), sys.argv[2])
EOF
}

# ray_job_environment NAME...: for RAY_JOB_CONFIG_JSON_ENV_VAR, by which `ray job submit` tells a program
# of its runtime environment too: what is there already, and these variables for every process of the job.
ray_job_environment() {
    "$VENV/bin/python" - "$@" <<'EOF'
import json, os, sys

job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}")
variables = job.setdefault("runtime_env", {}).setdefault("env_vars", {})
variables |= {name: os.environ[name] for name in sys.argv[1:] if os.environ.get(name)}
print(json.dumps(job))
EOF
}

# supervise LOG SECONDS REGEX TEMPLATE COMMAND...: runs the command as recipes/supervise.py says.
supervise() {
    local log=$1 seconds=$2 regex=$3 template=$4 supervisor status=0
    shift 4
    # vLLM looks for compilers and the like on the PATH; hydra hides where an error came from.
    PATH=$VENV/bin:$PATH HYDRA_FULL_ERROR=1 "$VENV/bin/python" "$REPO/recipes/supervise.py" \
        --log "$log" --timeout "$seconds" --show "$regex" "$template" -- "$@" &
    supervisor=$!
    # In the background and waited for: bash then hears a signal at once and passes it on.
    trap 'kill -TERM "$supervisor"' INT TERM HUP
    wait "$supervisor" || status=$?
    # A signal ends the first `wait`, not the supervisor.
    while kill -0 "$supervisor" 2>/dev/null; do wait "$supervisor" || status=$?; done
    trap - INT TERM HUP
    return "$status"
}
