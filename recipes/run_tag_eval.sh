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
#   CANVAS, BOX_SPACE, FORM, PROMPT, TOP_K, SEED, N_TRAIN, N_TEST   as run_tag_grpo.sh
#   RESULTS   where everything goes       $OUT/eval, or $OUT/eval/PROTOCOL
#   COUNTERFACTUAL  1: ask again with the boxes that a trace claims hidden in the image
#   TP        GPUs that share the model   -                      2 (1 on a single GPU)
#   MAX_TOKENS      most tokens of a completion, 256             2048
#   MAX_MODEL_LEN   and with the prompt   512                    4096
#   CHUNK     faces asked together; what
#             a stopped run loses at most 64                     1024
#   TIMEOUT   seconds until asking counts
#             as hung and is stopped      7200                   604800
#   ENDPOINT  ask this OpenAI-compatible endpoint instead, such as http://127.0.0.1:8000/v1; MODEL is
#             then its name there. The key is taken from API_KEY_ENV: OPENAI_API_KEY
#   VENV      virtual environment: .venv
#   DRY_RUN=1 prints the commands, one a line, and stops
#
# Afterwards in RESULTS: report/index.html, compare.txt (of two models), and for each model a folder
# with completions.jsonl, results.json and samples.parquet; data/ and logs/.

set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin_recipe "$@"
(($#)) || die "no MODEL is given: name a Hugging Face folder, such as runs/tag/grpo/hf (--help says more)"

# ---------------------------------------------------------------- the data

# Of other data than the run's, only how a model is shown them is taken over.
taken=(CANVAS BOX_SPACE FORM PROMPT TOP_K)
[[ -n ${DATA:-} && $(realpath -m "$DATA") != "$(run_setting DATA)" ]] ||
    taken+=(DATA PROTOCOL OPENFACE EVIDENCE SEED N_TRAIN N_TEST SFT_BOX_JITTER SFT_BOX_GROWTH SFT_AU_ERROR)
for name in "${taken[@]}"; do
    declare "$name=${!name:-$(run_setting "$name")}"
done
[[ -n $DATA || $device == cpu || ${DRY_RUN:-} == 1 ]] || die "DATA is not set, and $OUT has no run:" \
    "with a GPU, name a dataset's folder (or TAG_DEVICE=cpu for made faces)"
data_settings
if [[ $device == gpu ]]; then
    TP=${TP:-$(($(count_gpus) > 1 ? 2 : 1))}
    MAX_TOKENS=${MAX_TOKENS:-2048} MAX_MODEL_LEN=${MAX_MODEL_LEN:-4096} CHUNK=${CHUNK:-1024}
    TIMEOUT=${TIMEOUT:-604800}
else
    TP=1
    MAX_TOKENS=${MAX_TOKENS:-256} MAX_MODEL_LEN=${MAX_MODEL_LEN:-512} CHUNK=${CHUNK:-64}
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

# Whose box space new data are in. A model behind an endpoint has no files here that would say it.
shown_to=
if [[ -z ${ENDPOINT:-} ]]; then
    shown_to=${models[0]}
elif [[ $BOX_SPACE == model && $parquet == "$RESULTS/data" && ! -e $parquet/prepare.json ]]; then
    die "BOX_SPACE is not set: with ENDPOINT, say in which coordinates ${models[0]} writes boxes" \
        "(tag-rewards prepare --help lists them)"
fi

# ---------------------------------------------------------------- the stages

# ask MODEL FOLDER LOG: what it writes about each face.
ask() {
    local model=$1 command
    command=("$VENV/bin/tag-rewards" generate "$parquet/eval.parquet" --model "$model"
        --out "$2/completions.jsonl" --max-tokens "$MAX_TOKENS")
    [[ ${COUNTERFACTUAL:-} != 1 ]] || command+=(--counterfactual)
    if [[ -n ${ENDPOINT:-} ]]; then
        command+=(--engine openai -o "url=$ENDPOINT" ${API_KEY_ENV:+-o "api_key_env=$API_KEY_ENV"})
    else
        command+=(--engine vllm --chunk "$CHUNK" -o "max_model_len=$MAX_MODEL_LEN"
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

results=()
if [[ ${DRY_RUN:-} != 1 ]]; then
    set_up
    # shellcheck disable=SC2046
    same_settings "$RESULTS/settings.txt" $(data_setting_names)
fi
if [[ $parquet == "$RESULTS/data" && ! -e $parquet/prepare.json ]]; then
    stage data
    make_data "$parquet" "$shown_to"
fi
for index in "${!models[@]}"; do
    name=${names[$index]} folder=$RESULTS/${names[$index]}
    results+=("$folder")
    stage "asking $name"
    ask "${models[$index]}" "$folder" "$RESULTS/logs/$name.log"
    stage "evaluating $name"
    masked=()
    [[ ${COUNTERFACTUAL:-} != 1 ]] || masked=(--counterfactual "$folder/counterfactual.jsonl")
    run "$VENV/bin/tag-rewards" eval --data "$parquet/eval.parquet" \
        --predictions "$folder/completions.jsonl" "${masked[@]}" --out "$folder"
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
