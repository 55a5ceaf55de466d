#!/usr/bin/env bash
# Usage: bash recipes/run_tag_eval.sh MODEL [MODEL ...]
#
# Evaluates models on a held-out split: asks each about every face with vLLM, measures answers and
# boxes with intervals and beside baselines, compares two models face by face, and writes a report. A
# MODEL is a Hugging Face folder or name. A run that was stopped, at any moment and in any way, goes on
# when the same command is given again, and ends with the same completions.
#
#   bash recipes/run_tag_eval.sh runs/tag/sft/hf runs/tag/grpo/hf
#
# Each model is asked in its own form and box space, about the same faces: that of its training where a
# run of these recipes trained it, else that of its family.
#
# What the run in OUT (of run_tag_grpo.sh) was trained on and how is taken over, unless it is said
# otherwise: the models are then evaluated on its held-out split.
#
# Settings, as environment variables      without a GPU          with one
#   OUT       folder of the run           runs/tag               runs/tag
#   DATA      the dataset's folder        the run's, else made   the run's, else required
#                                         faces
#   PROTOCOL  what it is, of the list of
#             `tag-rewards datasets`      any in RAF-DB's layout
#   ALLOW_MISMATCH  1: record counts that differ from the published ones
#   OPENFACE  its OpenFace 2.x CSV files  $DATA/openface         $DATA/openface
#   EVIDENCE  instead: what `tag-rewards
#             annotate` wrote
#   CANVAS, BOX_SPACE, FORM, PROMPT, TOP_K, ENABLE_THINKING, SEED, N_TRAIN, N_TEST   as
#             run_tag_grpo.sh; FORM, where it is set, is for every model; with ENDPOINT it is the
#             run's, or tag
#   RESULTS   where everything goes       $OUT/eval, or $OUT/eval/PROTOCOL
#   COUNTERFACTUAL  1: ask again with the boxes that a trace claims hidden in the image
#   MOVED     1: ask again with the picture moved on its canvas: do the boxes follow?
#   TP        GPUs that share the model   -                      2 (1 on a single GPU)
#   MAX_TOKENS      most tokens of a completion; 4 times as many of a model that reasons first
#                                         256                    2048
#   MAX_MODEL_LEN   and with the prompt   512                    4096
#   CHUNK     faces asked together; what
#             a stopped run loses at most 64                     1024
#   TIMEOUT   seconds until asking counts
#             as hung and is stopped      7200                   604800
#   ENDPOINT  ask this OpenAI-compatible endpoint instead, such as http://127.0.0.1:8000/v1; MODEL is
#             then its name there. The key is taken from API_KEY_ENV: OPENAI_API_KEY
#   VENV      virtual environment: .venv, which recipes/setup.sh keeps; TAG_SETUP=0 takes it as it is
#   DRY_RUN=1 prints the commands, one a line, and stops
#
# Afterwards in RESULTS: report/index.html, compare.txt (of two models), and for each model a folder
# with completions.jsonl, results.json and samples.parquet; data/, where models write differently data-MODEL/, and logs/.

set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin_recipe "$@"
(($#)) || die "no MODEL is given: name a Hugging Face folder, such as runs/tag/grpo/hf (--help says more)"

# ---------------------------------------------------------------- the data

# Of other data than the run's, only how a model is shown them is taken over.
form_given=${FORM:-}
taken=(CANVAS BOX_SPACE FORM PROMPT TOP_K ENABLE_THINKING)
[[ -n ${DATA:-} && $(realpath -m "$DATA") != "$(run_setting DATA)" ]] ||
    taken+=(DATA PROTOCOL OPENFACE EVIDENCE PLACEMENT UNSURE SEED N_TRAIN N_TEST SFT_BOX_JITTER SFT_BOX_GROWTH SFT_AU_ERROR)
for name in "${taken[@]}"; do
    declare "$name=${!name:-$(run_setting "$name")}"
done
[[ -n $DATA || $device == cpu || ${DRY_RUN:-} == 1 ]] || die "DATA is not set, and $OUT has no run:" \
    "with a GPU, name a dataset's folder (or TAG_DEVICE=cpu for made faces)"
data_settings "$([[ -n ${ENDPOINT:-} ]] && say tag || say model)"
if [[ $device == gpu ]]; then
    TP=${TP:-$(($(count_gpus) > 1 ? 2 : 1))}
    usual_tokens=2048 usual_len=4096 CHUNK=${CHUNK:-1024}
    TIMEOUT=${TIMEOUT:-604800}
else
    TP=1
    usual_tokens=256 usual_len=512 CHUNK=${CHUNK:-64}
    TIMEOUT=${TIMEOUT:-7200}
fi
is_count TP MAX_TOKENS MAX_MODEL_LEN CHUNK TIMEOUT
RESULTS=$(realpath -m "${RESULTS:-$OUT/eval${PROTOCOL:+/${PROTOCOL//\//-}}}")

# The run's own data, where they are the ones that are asked for.
same_as_run() {
    local name
    for name in $(data_setting_names); do [[ ${!name:-} == "$(run_setting "$name")" ]] || return 1; done
}
parquet=$RESULTS/data
if [[ -e $OUT/data/eval.parquet ]] && same_as_run; then parquet=$OUT/data; fi

# ---------------------------------------------------------------- the models

# name_of MODEL: of the folder for its results, sft for runs/tag/sft/hf.
name_of() {
    local name=${1##*/} above=${1%/*}
    [[ $name != hf && $name != huggingface ]] || name=${above##*/}
    say "$name"
}

models=() names=()
for model; do
    model=${model%/}
    if [[ -z ${ENDPOINT:-} ]]; then
        if [[ -d $model ]]; then
            [[ -e $model/config.json ]] || die "MODEL $model: no Hugging Face model, it has no config.json"
            model=$(realpath -s "$model")
            # By a pattern it would find none, or another model's.
            [[ $model != *[[*?]* ]] ||
                die "MODEL $model: vLLM finds no files in a folder with [, * or ? in its name or its path"
        elif [[ $model == [./]* || $model == */*/* ]]; then
            die "MODEL $model: no such folder"
        fi
    fi
    name=$(name_of "$model") number=1
    while [[ " ${names[*]} " == *" $name "* ]]; do name=$(name_of "$model")-$((++number)); done
    models+=("$model") names+=("$name")
done

# A model behind an endpoint has no files here that would say how it writes.
[[ -z ${ENDPOINT:-} || $BOX_SPACE != model || $parquet != "$RESULTS/data" || -e $parquet/prepare.json ]] ||
    die "BOX_SPACE is not set: with ENDPOINT, say in which coordinates ${models[0]} writes boxes" \
        "(tag-rewards prepare --help lists them)"

# form_of MODEL: what it is asked in, unless FORM is set: that of the run that trained it (of earlier
# versions its files say nothing), or its own.
form_of() {
    local run=${1%/*/hf} form
    if [[ -n $form_given || -n ${ENDPOINT:-} ]]; then
        say "$FORM"
    elif [[ $run != "$1" && -e $run/settings.txt ]]; then
        form=$(OUT=$run run_setting FORM)
        say "${form:-tag}"
    else
        say model
    fi
}

# writing FILE or writing MODEL FORM: the numbers and the form in which data have boxes, or are to have
# them for MODEL. What contradicts MODEL is refused.
writing() {
    "$VENV/bin/python" - "$CANVAS" "$BOX_SPACE" "$@" <<'EOF'
import sys
from pathlib import Path
from tag_rewards.errors import InputError
from tag_rewards.model_images import read_model_images
from tag_rewards.prepare.face_target import TargetConfig
from tag_rewards.prepare.model_fits import recorded_config

canvas, box_space, what, *form = sys.argv[1:]
try:
    if form:
        kind = None if box_space == "model" else box_space
        images = read_model_images(what)
        config = TargetConfig(int(canvas), kind, model=images, form=form[0])
        images.require_form(config.form)
    else:
        config = recorded_config(Path(what)) or TargetConfig()
except (InputError, OSError) as error:
    sys.exit(f"error: {error}")
print(config.form, config.space.parts, config.space.extent)
EOF
}

# nameless MODEL: whether its files are not looked at: in a dry run, what is no folder may not be here.
nameless() { [[ ${DRY_RUN:-} == 1 && ! -d $1 ]]; }

# The folders with data, by how boxes are written there.
declare -A data_of=()
if [[ -z ${ENDPOINT:-} ]]; then
    for folder in "$RESULTS"/data-* "$parquet"; do
        [[ -e $folder/eval.parquet ]] || continue
        key=$(writing "$folder/eval.parquet") || exit 1
        data_of[$key]=$folder
    done
fi

# data_for MODEL NAME: sets `data` to the folder that it is asked about, and makes that where it is not
# there; sets `form` to the form that it is asked for.
data_for() {
    local key
    form=$(form_of "$1") data=$parquet
    if [[ -z ${ENDPOINT:-} ]] && ! nameless "$1"; then
        key=$(writing "$1" "$form") || exit 1
        form=${key%% *}
        data=${data_of[$key]:-}
        # The first folder is for whoever comes first.
        if [[ -z $data && " ${data_of[*]} " == *" $parquet "* ]]; then data=$RESULTS/data-$2; fi
        data=${data:-$parquet}
        data_of[$key]=$data
    fi
    # The run's own are there; of those made here prepare.json is written last.
    if [[ $data == "$OUT/data" || -e $data/prepare.json || $made == *" $data "* ]]; then return; fi
    stage data
    FORM=$form make_data "$data" "$([[ -n ${ENDPOINT:-} ]] || say "$1")"
    made+=" $data "
}

# ---------------------------------------------------------------- the stages

# ask MODEL FOLDER LOG: what it writes about each face.
ask() {
    local model=$1 tokens=$usual_tokens len=$usual_len command thinks=
    [[ -n ${ENDPOINT:-} ]] || nameless "$model" || thinks=$(model_says thinks "$model") || exit 1
    [[ ${thinks:-${ENABLE_THINKING:-}} != true ]] || len=$((len + 3 * tokens)) tokens=$((4 * tokens))
    command=("$VENV/bin/tag-rewards" generate "$data/eval.parquet" --model "$model"
        --out "$2/completions.jsonl" --max-tokens "${MAX_TOKENS:-$tokens}")
    [[ ${COUNTERFACTUAL:-} != 1 ]] || command+=(--counterfactual)
    [[ ${MOVED:-} != 1 ]] || command+=(--moved)
    if [[ -n ${ENDPOINT:-} ]]; then
        command+=(--engine openai -o "url=$ENDPOINT" ${API_KEY_ENV:+-o "api_key_env=$API_KEY_ENV"})
    else
        command+=(--engine vllm --chunk "$CHUNK" -o "max_model_len=${MAX_MODEL_LEN:-$len}"
            -o "tensor_parallel_size=$TP" -o "held=$CHUNK")
    fi
    [[ ${DRY_RUN:-} != 1 ]] || { run "${command[@]}" && return; }
    # On a CPU vLLM warns at each step that it does not set the number of threads.
    [[ $device == gpu ]] || export VLLM_LOGGING_LEVEL=${VLLM_LOGGING_LEVEL:-ERROR}
    say "   log: $3"
    HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-$([[ -d $model ]] && echo 1 || echo 0)} \
        supervise "$3" "$TIMEOUT" '^(Asking.*)' '\1' "${command[@]}"
}

stage() { [[ ${DRY_RUN:-} == 1 ]] || say "== $1"; }

results=() made=
if [[ ${DRY_RUN:-} != 1 ]]; then
    set_up
    # shellcheck disable=SC2046
    same_settings "$RESULTS/settings.txt" $(data_setting_names)
fi
for index in "${!models[@]}"; do
    name=${names[$index]} folder=$RESULTS/${names[$index]}
    results+=("$folder")
    data_for "${models[$index]}" "$name"
    stage "asking $name in the form $form"
    ask "${models[$index]}" "$folder" "$RESULTS/logs/$name.log"
    stage "evaluating $name"
    again=()
    [[ ${COUNTERFACTUAL:-} != 1 ]] || again+=(--counterfactual "$folder/counterfactual.jsonl")
    [[ ${MOVED:-} != 1 ]] || again+=(--moved "$folder/moved.jsonl")
    run "$VENV/bin/tag-rewards" eval --data "$data/eval.parquet" \
        --predictions "$folder/completions.jsonl" "${again[@]}" --out "$folder"
done
if ((${#results[@]} == 2)); then
    stage "comparing ${names[0]} and ${names[1]}"
    run cd "$RESULTS" # so that the table says sft and grpo
    COLUMNS=${COLUMNS:-110} run "$VENV/bin/tag-rewards" compare "${names[@]}" |
        if [[ ${DRY_RUN:-} == 1 ]]; then cat; else tee "$RESULTS/compare.txt"; fi
fi
stage report
curves=()
[[ ! -e $OUT/metrics.jsonl ]] || curves=(--run "$OUT")
run "$VENV/bin/tag-rewards" report "${results[@]}" "${curves[@]}" --out "$RESULTS/report"
