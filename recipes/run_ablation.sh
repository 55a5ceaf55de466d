#!/usr/bin/env bash
# Usage: bash recipes/run_ablation.sh
#
# What does each part of the reward do? Trains one model by SFT on made faces, goes on from it with GRPO
# once for each arm and seed, and measures every model on the same faces: as they are drawn, aligned, and
# shifted (other identities, unseen combinations of AUs, blur, occlusion, low light, JPEG). Without a GPU.
# It begins with a plan and how long that will take. Stopped at any moment, it goes on when the same
# command is given again; a run that is finished is not done again.
#
# Settings, as environment variables                            QUICK=1
#   OUT       where everything goes      runs/ablation          runs/ablation_quick
#   ARMS      which arms, with spaces    all                    sft format_accuracy grounding
#             (PLAN=1 names them)
#   SEEDS     runs of an arm             5                      1
#   STEPS     GRPO steps of a run        20                     12
#   N_TRAIN   made faces to train on     2000                   600
#   SFT_EPOCHS passes of stage 1         2                      2
#   TRAIN_BATCH, ROLLOUT_N               16, 8                  8, 6
#   FACES     of each set of faces       64                     16
#   PLAN=1    prints the plan and stops
#   VENV      virtual environment: .venv, which recipes/setup.sh keeps; TAG_SETUP=0 takes it as it is
#
# ARMS, SEEDS may change in the same OUT; what decides a result may not. Whatever else run_tag_grpo.sh
# takes in the environment (LR, TEMPERATURE ...) goes to every run.
#
# Afterwards in OUT: ablation.md and ablation.csv (every measure of every arm on every set, with intervals
# over the seeds), arms.png, shifts.png; runs/ARM/seedN with all that run_tag_grpo.sh leaves, and
# result.json; sft/ and faces/.

set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
if [[ ${QUICK:-} == 1 ]]; then
    OUT=${OUT:-$REPO/runs/ablation_quick} ARMS=${ARMS:-sft format_accuracy grounding} SEEDS=${SEEDS:-1}
    STEPS=${STEPS:-12} N_TRAIN=${N_TRAIN:-600} FACES=${FACES:-16} TRAIN_BATCH=${TRAIN_BATCH:-8} ROLLOUT_N=${ROLLOUT_N:-6}
fi
OUT=${OUT:-$REPO/runs/ablation}
export TAG_DEVICE=cpu
begin_recipe "$@"
export SEEDS=${SEEDS:-5} STEPS=${STEPS:-20} N_TRAIN=${N_TRAIN:-2000} SFT_EPOCHS=${SFT_EPOCHS:-2}
export FACES=${FACES:-64} TRAIN_BATCH=${TRAIN_BATCH:-16} ROLLOUT_N=${ROLLOUT_N:-8} N_TEST=32
export MINI_BATCH=${MINI_BATCH:-$TRAIN_BATCH} TEST_FREQ=$STEPS
base=$REPO/recipes/tiny_vlm/base
unset DATA PROTOCOL OPENFACE EVIDENCE MODEL # what an arm is trained on is not up to the caller
is_count SEEDS STEPS N_TRAIN SFT_EPOCHS FACES TRAIN_BATCH ROLLOUT_N MINI_BATCH
data_settings tag

# helper WHAT ARGUMENT...: asks recipes/ablation.
helper() { PYTHONPATH=$REPO${PYTHONPATH:+:$PYTHONPATH} "$VENV/bin/python" -m recipes.ablation "$@"; }

names=$(helper arms "${ARMS:-}") || exit 1
read -ra arms <<<"$names"
helper plan "$OUT" "${arms[@]}"
[[ ${PLAN:-} != 1 ]] || exit 0
set_up
same_settings "$OUT/settings.txt" STEPS N_TRAIN SFT_EPOCHS FACES TRAIN_BATCH MINI_BATCH ROLLOUT_N CANVAS PROMPT TOP_K SEED

# stage NAME COMMAND...: runs it, and notes its seconds for the next plan.
stage() {
    local name=$1 begun=$SECONDS
    shift
    "$@"
    printf '{"stage": "%s", "seconds": %d}\n' "$name" $((SECONDS - begun)) >>"$OUT/timings.jsonl"
}

# prepared FOLDER SETTING...: the files of what is to be learned or asked, with these settings.
prepared() (
    folder=$1
    shift
    for setting; do declare "$setting"; done
    [[ -z ${DATA:-} ]] || unset SFT_BOX_JITTER SFT_BOX_GROWTH SFT_AU_ERROR OPENFACE
    data_settings tag
    [[ -e $folder/prepare.json ]] || make_data "$folder" "$base" >>"$OUT/data.log"
)

evaluation_data() {
    say "== faces to evaluate on"
    helper faces evaluation "$OUT/faces" "$FACES"
    prepared "$OUT/faces/data" "DATA=$OUT/faces" PROTOCOL=made-faces/test
}

# sft START: the model that arms go on from.
sft() {
    [[ -d $OUT/$1/sft/hf ]] || say "== $1"
    [[ $1 != boxless ]] || helper boxless "$OUT/data" "$OUT/boxless/data"
    env -u LR OUT="$OUT/$1" MODEL="$base" DATA="$OUT/$([[ $1 == sft ]] || say "$1/")data" EPOCHS="$SFT_EPOCHS" \
        ${SFT_LR:+"LR=$SFT_LR"} ${SFT_BATCH:+"BATCH=$SFT_BATCH"} TAG_SETUP=0 \
        bash "$REPO/recipes/run_tag_sft.sh"
}

# run_arm ARM SEED START: GRPO, as the arm has it. The seed orders the faces, and so all that follows.
run_arm() {
    local told settings=() overrides=() data=$OUT/data run=$OUT/runs/$1/seed$2
    told=$(helper arm "$OUT" "$1")
    while read -r line; do
        case $line in +*) overrides+=("$line") ;; ?*) settings+=("$line") ;; esac
    done <<<"$told"
    if [[ $(helper own_data "$1") == yes ]]; then
        data=$OUT/data-$1
        prepared "$data" "${settings[@]}"
    fi
    mkdir -p "$run"
    ln -sfn "$data" "$run/data"
    env OUT="$run" MODEL="$OUT/$3/sft/hf" SFT=0 TAG_SETUP=0 "${settings[@]}" \
        bash "$REPO/recipes/run_tag_grpo.sh" "data.seed=$2" "trainer.rollout_data_dir=$run/rollouts" "${overrides[@]}"
}

# evaluated MODEL FOLDER: what it writes about every face, and about the face moved on its canvas.
evaluated() {
    export VLLM_LOGGING_LEVEL=ERROR HF_HUB_OFFLINE=1
    supervise "$2/asked.log" 7200 '^(Asking.*)' '\1' "$VENV/bin/tag-rewards" generate "$OUT/faces/data/eval.parquet" \
        --model "$1" --out "$2/completions.jsonl" --moved --max-tokens 256 --engine vllm --chunk 128 \
        -o max_model_len=512 -o held=128
    helper measure "$OUT/faces/data/eval.parquet" "$2"
}

mkdir -p "$OUT"
[[ -e $OUT/faces/data/prepare.json ]] || evaluation_data
[[ -e $OUT/data/prepare.json ]] || stage data prepared "$OUT/data"
for start in $(helper starts "${arms[@]}"); do
    [[ -d $OUT/$start/sft/hf ]] || stage sft sft "$start"
done
[[ " ${arms[*]} " != *" aligned_"* || -e $OUT/aligned/EmoLabel ]] || helper faces aligned "$OUT/aligned" "$N_TRAIN"
helper runs "$SEEDS" "${arms[@]}" | while read -r arm seed start trained; do
    run=$OUT/runs/$arm/seed$seed model=$OUT/$start/sft/hf
    [[ ! -e $run/result.json ]] || continue
    say "== $arm, seed $seed"
    mkdir -p "$run"
    if [[ $trained == yes ]]; then
        stage run run_arm "$arm" "$seed" "$start" </dev/null
        model=$run/grpo/hf
    fi
    stage evaluation evaluated "$model" "$run" </dev/null
    helper table "$OUT"
done
helper table "$OUT"
say "Done. In $OUT: ablation.md, ablation.csv, arms.png, shifts.png"
