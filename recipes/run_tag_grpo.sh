#!/usr/bin/env bash
# Usage: bash recipes/run_tag_grpo.sh [HYDRA_OVERRIDE ...]
#
# Stage 2 of TAG: trains a vision-language model with verl's GRPO on the TAG reward (format, answer,
# AU grounding), with vLLM rollouts on Ray, a reference model and a KL loss. Runs the stages that are
# needed and not there yet: set-up, data, SFT, GRPO, model, report. A run that was stopped, at any
# moment and in any way, goes on from its last checkpoint when the same command is given again.
#
# Without a GPU: an embedded default of made faces and a tiny Qwen2.5-VL, about 11 minutes on
# 2 cores. With GPUs: Qwen3-VL-8B-Instruct on your data.
#
# Settings, as environment variables      without a GPU          with one
#   DATA      the dataset's folder        made faces             required
#             (prepared for MODEL into OUT/data; files of `prepare` that are there are taken)
#   PROTOCOL  what it is, of the list of
#             `tag-rewards datasets`      any in RAF-DB's layout
#   ALLOW_MISMATCH  1: record counts that differ from the published ones
#   OPENFACE  its OpenFace 2.x CSV files  $DATA/openface         $DATA/openface
#   EVIDENCE  instead: what `tag-rewards
#             annotate` wrote
#   OUT       where everything goes       runs/tag               runs/tag
#   MODEL     Hugging Face folder or name recipes/tiny_vlm/base  Qwen/Qwen3-VL-8B-Instruct
#   NGPUS     GPUs of a node              -                      all
#   NNODES    nodes                       1                      1
#   TP        tensor parallelism, rollout 1                      2 (1 on a single GPU)
#   MODE      sync; colocate_async: rollouts go on over the steps, on the same GPUs; separate_async: on
#             GPUs of their own           sync (no other)        sync
#   ROLLOUT_GPUS  those of a node in separate_async: half of NGPUS
#   CANVAS    side of the images, pixels  112                    512
#   BOX_SPACE of the boxes, as `tag-rewards prepare --help` has it; what
#             contradicts MODEL is refused  as MODEL's files say   as MODEL's files say
#   FORM      how boxes are written: tag, a family's such as qwen3_vl, or model for MODEL's own; what
#             contradicts MODEL or TRACES is refused   tag; with SFT=0 as MODEL's files say
#   ENABLE_THINKING  true or false, for a MODEL whose chat template has that switch: whether it
#             reasons first               as the template        as the template
#   PROMPT    template: tag or short      short                  tag
#   TOP_K     most AUs of a face          8                      8
#   PRESET    1x24, 1x80, 8x80 or 2x8x80: nodes x GPUs x GB of each; a model, LoRA and sizes that fit
#             it, for what is not set; docs/recipes.md has the table
#   STEPS     GRPO steps                  20                     400
#   EPOCHS    passes over the data        from STEPS             from STEPS, or instead of them
#   TRAIN_BATCH  prompts of a step        16                     512
#   MINI_BATCH   prompts of an update     16                     128
#   ROLLOUT_N    rollouts of a prompt     8                      5
#   TEMPERATURE  of the rollouts          0.6                    1
#   MAX_RESPONSE  most tokens of a rollout, reasoning included; 4 times as many where MODEL
#             reasons first               256                    2048
#   LR        learning rate               2e-4                   1e-6
#   KL_COEF   weight of the KL loss       0.001                  0.01
#   SAVE_FREQ steps between checkpoints   10                     20
#   TEST_FREQ steps between validations   10                     5
#   TIMEOUT   seconds until GRPO counts
#             as hung and is stopped      7200                   604800
#   SFT       0: start from MODEL as is   1                      1
#   TRACES    SFT on these traces, not on
#             templates, as run_tag_sft.sh has it
#   SFT_EPOCHS, SFT_LR, SFT_BATCH, MAX_LENGTH, DROP_LONG, MAX_TOKENS of stage 1: as run_tag_sft.sh, but
#             2 epochs on made faces
#   LORA      rank of a LoRA adapter, which alone is trained, in SFT and in GRPO; it is in the weights
#             of the model afterwards     none
#   FREEZE_VISION  1: the visual encoder
#             stays frozen in GRPO too    1                      1
#   FLASH_ATTENTION  1 or 0: use it or not  0                    1 if installed
#   FORMAT_WEIGHT, ACCURACY_WEIGHT, GROUNDING_WEIGHT, CONSISTENCY_WEIGHT of the reward: 0.2, 0.3,
#             0.5, 0
#   N_TRAIN, N_TEST, SEED  size and seed of the made faces: 2000, 256, 0
#   SFT_BOX_JITTER, SFT_BOX_GROWTH, SFT_AU_ERROR  how far template traces are off, as `tag-rewards
#             prepare --help` has it: 0.18, 0.2 and 0.12 for made faces, 0 otherwise
#   PLACEMENT how far training faces are put from where they lie, as `tag-rewards prepare --help` has it
#                                         aligned                aligned
#   UNSURE    other AUs in a target, as `tag-rewards prepare --help` has it: none or present
#   LOGGER    verl loggers besides console and file, separated by commas: tensorboard,wandb
#   VENV      virtual environment: .venv, which recipes/setup.sh keeps; TAG_SETUP=0 takes it as it is
#   MEMORY_CHECK=0  starts even if the estimate of a GPU's memory says that the run cannot fit
#   RAY_ADDRESS  joins that Ray cluster instead of starting one; OUT must then be a shared folder, and
#             without a GPU the cluster one of `ray start --num-gpus=1 --num-cpus=16`
#   DRY_RUN=1 prints what would be given to verl, one argument a line, and stops; without a look at
#             MODEL, whose template alone may say that it reasons (ENABLE_THINKING=true says it)
#
# verl's settings are in recipes/config/tag_grpo*.yaml, hydra files over verl's own defaults.
# What stands behind the command goes to verl: ... run_tag_grpo.sh actor_rollout_ref.actor.clip_ratio=0.3
#
# Afterwards in OUT: sft/hf and grpo/hf (the model after each stage, Hugging Face folders), summary.md
# (before and after), curves.png, overlays.png, metrics.jsonl (each component at each step),
# validation/ (every held-out completion), checkpoints/, logs/.
# `run_tag_eval.sh OUT/sft/hf OUT/grpo/hf` evaluates and compares the two models.

set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin_recipe "$@"

# Without a variable's value, what recipes/config says holds; here is what this script computes with.
begin_verl tag_grpo
SFT=${SFT:-1} FREEZE_VISION=${FREEZE_VISION:-1} MODE=${MODE:-sync}
# The steps decide how often the data is passed over, unless a number of passes is asked for.
[[ $device == cpu || -z ${EPOCHS:-} ]] || STEPS=${STEPS:-null}
STEPS=${STEPS:-$(configured total_training_steps)}
TRAIN_BATCH=${TRAIN_BATCH:-$(configured train_batch_size)}
MINI_BATCH=${MINI_BATCH:-$(configured ppo_mini_batch_size)}
ROLLOUT_N=${ROLLOUT_N:-$(configured n)}
FORMAT_WEIGHT=${FORMAT_WEIGHT:-$(configured format_weight)}
ACCURACY_WEIGHT=${ACCURACY_WEIGHT:-$(configured accuracy_weight)}
GROUNDING_WEIGHT=${GROUNDING_WEIGHT:-$(configured grounding_weight)}
CONSISTENCY_WEIGHT=${CONSISTENCY_WEIGHT:-$(configured consistency_weight)}

case $MODE in
    sync) ;;
    colocate_async | separate_async)
        [[ $device == gpu ]] || die "MODE=$MODE: needs GPUs; without one there is MODE=sync" ;;
    fully_async | one_step_off)
        die "MODE=$MODE: verl's experimental trainer of that name logs no component of the reward:" \
            "MODE=separate_async has GPUs for rollouts alone too (docs/verl.md)" ;;
    *) die "MODE=$MODE: there are sync, colocate_async and separate_async" ;;
esac

# separate_gpus: of a node's NGPUS those that only write rollouts, and those that train.
separate_gpus() {
    is_count NGPUS ROLLOUT_GPUS TRAIN_BATCH MINI_BATCH
    ROLLOUT_GPUS=${ROLLOUT_GPUS:-$((NGPUS / 2))}
    train_gpus=$((NGPUS - ROLLOUT_GPUS))
    ((ROLLOUT_GPUS > 0 && train_gpus > 0)) || die "MODE=separate_async: $NGPUS GPUs of a node," \
        "$ROLLOUT_GPUS for rollouts: one at least must be for rollouts, and one to train on"
    ((TRAIN_BATCH % MINI_BATCH == 0)) ||
        die "MODE=separate_async: TRAIN_BATCH=$TRAIN_BATCH must be a multiple of MINI_BATCH=$MINI_BATCH"
}

if [[ $device == gpu ]]; then
    gpu_settings
    train_gpus=$NGPUS
    if [[ $MODE == separate_async ]]; then separate_gpus; else ROLLOUT_GPUS=0; fi
    [[ -z ${PRESET:-} ]] || TP=${TP:-$(configured tensor_model_parallel_size)}
    TP=${TP:-$((train_gpus % 2 || ROLLOUT_GPUS % 2 ? 1 : 2))}
    [[ -n ${DATA:-} || ${DRY_RUN:-} == 1 ]] || die "DATA is not set: with a GPU, name a dataset's" \
        "folder in RAF-DB's layout (or TAG_DEVICE=cpu for the embedded default)"
else
    NGPUS=1 TP=1 train_gpus=1 MODEL=${MODEL:-$REPO/recipes/tiny_vlm/base} TIMEOUT=${TIMEOUT:-7200}
fi
[[ -n ${DATA:-} ]] || SFT_EPOCHS=${SFT_EPOCHS:-2}
# Settings hold from what was made with them on, not from a mistake that ended the run before.
[[ ${DRY_RUN:-} == 1 || -n $(find "$OUT" -mindepth 1 -maxdepth 1 ! -name settings.txt ! -name timings.jsonl \
    -print -quit 2>/dev/null) ]] || rm -f "$OUT/settings.txt"
data_settings "$([[ $SFT == 0 ]] && say model || say tag)" # without SFT it writes as it does already
is_count LORA MAX_RESPONSE NGPUS NNODES TP EPOCHS TRAIN_BATCH MINI_BATCH ROLLOUT_N SAVE_FREQ TEST_FREQ TIMEOUT
[[ $STEPS == null ]] || is_count STEPS
[[ ! -d $MODEL ]] || MODEL=$(realpath "$MODEL")
parquet=$OUT/data
policy=$MODEL
[[ $SFT == 0 ]] || policy=$OUT/sft/hf

# ---------------------------------------------------------------- what verl is told

gcd() {
    local a=$1 b=$2 rest
    while ((b)); do rest=$((a % b)) a=$b b=$rest; done
    say "$a"
}

# batch_sizes PROMPTS: what a step takes, in `step_prompts`. Without a GPU micro-batches have a fixed
# size, which must divide the batch.
batch_sizes() {
    local update=$(($1 < MINI_BATCH ? $1 : MINI_BATCH)) actor=actor_rollout_ref.actor micro
    step_prompts=$1
    if [[ $MODE == separate_async ]]; then
        # Between two updates of the rollouts' weights lie whole updates of the actor.
        step_prompts=$(($1 / update * update))
        for_verl+=("trainer.v1.separate_async.parameter_sync_step=$(($1 / update))")
    fi
    for_verl+=("data.train_batch_size=$step_prompts" "$actor.ppo_mini_batch_size=$update")
    [[ $device == cpu ]] || return 0
    micro=$(gcd $((update * ROLLOUT_N)) "$(configured ppo_micro_batch_size_per_gpu)")
    for_verl+=("$actor.ppo_micro_batch_size_per_gpu=$micro")
    micro=$(gcd $((step_prompts * ROLLOUT_N)) "$(configured log_prob_micro_batch_size_per_gpu)")
    for_verl+=("actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=$micro")
}

weights=reward.custom_reward_function.reward_kwargs
for_verl+=(
    "data.train_files=$(quoted "$parquet/rl_train.parquet")"
    "data.val_files=$(quoted "$parquet/rl_test.parquet")"
    "data.seed=$SEED"
    "actor_rollout_ref.model.path=$(quoted "$policy")"
    "actor_rollout_ref.rollout.n=$ROLLOUT_N"
    "actor_rollout_ref.rollout.tensor_model_parallel_size=$TP"
    "$weights.format_weight=$FORMAT_WEIGHT"
    "$weights.accuracy_weight=$ACCURACY_WEIGHT"
    "$weights.grounding_weight=$GROUNDING_WEIGHT"
    "$weights.consistency_weight=$CONSISTENCY_WEIGHT"
    "trainer.experiment_name=$(quoted "$(basename "$OUT")")"
    ${LOGGER:+"trainer.logger=[console,file,$LOGGER]"}
    "trainer.n_gpus_per_node=$train_gpus"
    "trainer.total_training_steps=$STEPS"
    "trainer.default_local_dir=$(quoted "$OUT/checkpoints")"
    "trainer.validation_data_dir=$(quoted "$OUT/validation")"
)
set_where_given \
    LR actor_rollout_ref.actor.optim.lr \
    KL_COEF actor_rollout_ref.actor.kl_loss_coef \
    TEMPERATURE actor_rollout_ref.rollout.temperature \
    NNODES trainer.nnodes \
    EPOCHS trainer.total_epochs \
    SAVE_FREQ trainer.save_freq \
    TEST_FREQ trainer.test_freq
batch_sizes "$TRAIN_BATCH"
# Rollouts of weights before: the probability that they were written with is the old policy's.
[[ $MODE == sync ]] || for_verl+=(
    "trainer.v1.trainer_mode=tag_$MODE"
    actor_rollout_ref.rollout.calculate_log_probs=True
    algorithm.rollout_correction.bypass_mode=True
)
[[ $MODE != separate_async ]] || for_verl+=(
    "actor_rollout_ref.rollout.nnodes=${NNODES:-1}"
    "actor_rollout_ref.rollout.n_gpus_per_node=$ROLLOUT_GPUS"
    actor_rollout_ref.rollout.checkpoint_engine.backend=nccl
)
set_model actor_rollout_ref.model
set_thinking

# token_budget THINKS [PROMPT]: the tokens that were set for a rollout, or that fit a model that reasons
# first; and those of the longest prompt, if they are more than is configured.
token_budget() {
    local tokens=${MAX_RESPONSE:-} prompt
    prompt=$(configured max_prompt_length)
    [[ -n $tokens || $1 != true ]] || tokens=$((4 * $(configured max_response_length)))
    ((${2:-0} <= prompt)) || prompt=$2 tokens=${tokens:-$(configured max_response_length)}
    [[ -n $tokens ]] || return 0
    for_verl+=("data.max_prompt_length=$prompt" "data.max_response_length=$tokens")
    # vLLM's limit, where it is set, is that of prompt and response.
    [[ -z $(configured max_model_len) ]] ||
        for_verl+=("actor_rollout_ref.rollout.max_model_len=$((prompt + tokens))")
}
token_budget "${ENABLE_THINKING:-}"
# A cluster that is joined already says what it has.
[[ $device == gpu || -z ${RAY_ADDRESS:-} ]] || for_verl+=(
    '~ray_kwargs.ray_init.num_gpus' ray_kwargs.ray_init.num_cpus=null
    '~ray_kwargs.ray_init.include_dashboard'
)
end_dry_run "$@"
# Both look for files by a pattern, and would find none after the hour that SFT may take.
[[ $OUT$policy != *[[*?]* ]] ||
    die "OUT=$OUT, MODEL=$MODEL: vLLM and verl find no files in folders with [, * or ? in their names"

# ---------------------------------------------------------------- the stages

# A wrong weight would otherwise show only once the model is loaded and has written its first batch.
check_weights() {
    "$VENV/bin/python" - "$FORMAT_WEIGHT" "$ACCURACY_WEIGHT" "$GROUNDING_WEIGHT" \
        "$CONSISTENCY_WEIGHT" <<'EOF'
import sys
from tag_rewards import RewardConfig

try:
    *others, consistency = map(float, sys.argv[1:])
    RewardConfig(*others, consistency_weight=consistency)
except ValueError as error:
    sys.exit(f"error: the reward's weights {', '.join(sys.argv[1:])}: {error}")
EOF
}

# longest_prompt: its tokens as MODEL counts them, the image's among them. verl would find one that does
# not fit only once all is loaded.
longest_prompt() {
    "$VENV/bin/python" - "$MODEL" "${ENABLE_THINKING:-}" "$parquet"/rl_{train,test}.parquet <<'EOF'
import sys
from itertools import chain
from tag_rewards.errors import InputError
from tag_rewards.sft_data.conversations import SequenceLengths, rl_prompts

model, enable_thinking, *files = sys.argv[1:]
try:
    count = SequenceLengths(model, {"true": True, "false": False}.get(enable_thinking))
    print(count.longest(chain.from_iterable(map(rl_prompts, files)))[0])
except (InputError, OSError) as error:
    sys.exit(f"error: {error}")
EOF
}

# stage NAME COMMAND...: runs it, and notes its seconds for the summary.
stage() {
    local name=$1 begun=$SECONDS
    shift
    say "== $name"
    "$@"
    mkdir -p "$OUT"
    printf '{"stage": "%s", "seconds": %d}\n' "$name" $((SECONDS - begun)) >>"$OUT/timings.jsonl"
}

sft() {
    # LR and EPOCHS in the environment are GRPO's.
    env -u LR -u EPOCHS ENABLE_THINKING="${ENABLE_THINKING:-}" MODEL="$MODEL" DATA="$parquet" OUT="$OUT" NGPUS="$NGPUS" \
        CANVAS="$CANVAS" TAG_SETUP=0 ${SFT_EPOCHS:+"EPOCHS=$SFT_EPOCHS"} ${SFT_LR:+"LR=$SFT_LR"} \
        ${SFT_BATCH:+"BATCH=$SFT_BATCH"} bash "$REPO/recipes/run_tag_sft.sh"
}

grpo() {
    local prompts
    prompts=$(parquet_rows "$parquet/rl_train.parquet")
    if ((prompts < TRAIN_BATCH)); then
        # verl drops an incomplete batch: with fewer prompts than a batch it would train no step.
        batch_sizes "$prompts"
        say "   only $prompts prompts: a step takes $step_prompts"
    fi
    [[ $STEPS == null ]] || awk -v steps="$STEPS" -v taken=$((STEPS * step_prompts)) -v faces="$prompts" 'BEGIN {
        printf "   %d steps take %d prompts: %d faces, each about %.1f times\n", steps, taken, faces, taken / faces
    }'
    export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-$([[ -d $policy ]] && echo 1 || echo 0)}
    export TENSORBOARD_DIR=${TENSORBOARD_DIR:-$OUT/tensorboard}
    # verl overwrites the file of its file logger, so each launch gets its own; the report joins them.
    mkdir -p "$OUT/logs"
    VERL_FILE_LOGGER_PATH=$OUT/logs/metrics-$(date +%Y%m%d-%H%M%S).jsonl
    export VERL_FILE_LOGGER_PATH
    [[ $FREEZE_VISION != 1 ]] || export VERL_ENGINE_VENDOR=frozen_vision
    [[ $device == gpu ]] || cpu_environment
    if [[ -n ${RAY_ADDRESS:-} ]]; then
        # The processes of a cluster that is joined do not inherit this shell's environment.
        local name
        for name in VERL_FILE_LOGGER_PATH TENSORBOARD_DIR HF_HUB_OFFLINE VERL_ENGINE_VENDOR \
            VERL_PLATFORM VLLM_CPU_KVCACHE_SPACE; do
            [[ -z ${!name:-} ]] ||
                for_verl+=("+ray_kwargs.ray_init.runtime_env.env_vars.$name=$(quoted "${!name}")")
        done
    fi
    say "   log: $OUT/logs/grpo.log"
    supervise "$OUT/logs/grpo.log" "$TIMEOUT" \
        'step:(\d+) - .*critic/score/mean:(?:np\.float\w+\()?([\d.]+)' "step \1 of $STEPS, mean reward \2" \
        "$VENV/bin/python" -m verl.trainer.main_ppo "${for_verl[@]}" "$@"
    printf '%s\n' "$STEPS" >"$OUT/checkpoints/finished.txt"
}

# The model of the last checkpoint as a Hugging Face folder. grpo/hf is a link, set once the folder is
# complete; its name says the step.
export_model() {
    local step=$1 actor=checkpoints/global_step_$1/actor merged=$OUT/grpo/step_$1
    mkdir -p "$OUT/grpo"
    rm -rf "$OUT/grpo/hf" "$OUT"/grpo/step_* "$OUT"/grpo/folded_step_*
    if has_weights "$OUT/$actor/huggingface"; then
        merged=$OUT/$actor/huggingface
    else
        say "   log: $OUT/logs/merge.log"
        HF_HUB_OFFLINE=1 supervise "$OUT/logs/merge.log" "$TIMEOUT" 'Saving (\w+) to' 'writing the \1' \
            "$VENV/bin/python" -m verl.model_merger merge --backend fsdp --local_dir "$OUT/$actor" \
            --target_dir "$merged"
    fi
    merged=$(folded "$merged" "$OUT/grpo/folded_step_$step")
    note_form "$merged" "$(recorded_form "$parquet/rl_train.parquet")"
    ln -sfn "$(realpath --relative-to="$OUT/grpo" "$merged")" "$OUT/grpo/hf"
}

exported() {
    [[ $(readlink "$OUT/grpo/hf" 2>/dev/null) =~ (^|_)step_$1(/|$) ]] &&
        has_weights "$OUT/grpo/hf"
}

finished() { [[ $(cat "$OUT/checkpoints/finished.txt" 2>/dev/null) == "$STEPS" ]]; }

begun=$SECONDS
# shellcheck disable=SC2046
same_settings "$OUT/settings.txt" MODEL SFT ${TRACES:+TRACES} ${LORA:+LORA} $(data_setting_names)
stage set-up set_up
check_weights
no_adapter "$MODEL"
thinks=$(model_says thinks "$MODEL")
token_budget "$thinks" # a template without a setting may say it too
check_memory "$MODEL" "$@"
# Files that are there already say their form themselves.
[[ ! -e $parquet/prepare.json ]] || form=$(recorded_form "$parquet/rl_train.parquet")
decided "$OUT/settings.txt" "$MODEL" "${form:-$FORM}"
[[ -e $parquet/prepare.json ]] || stage data make_data "$parquet" "$MODEL"
# Somebody may have put files of their own there: every row is looked at before a model is loaded.
check_data "$MODEL" "$parquet"/rl_{train,test}.parquet
if ! finished; then
    prompt_tokens=$(longest_prompt) || exit 1
    if ((prompt_tokens > $(configured max_prompt_length))); then
        say "   prompts have up to $prompt_tokens tokens with their image: as many are allowed"
        token_budget "$thinks" "$prompt_tokens"
    fi
fi
read -ra traces <<<"${TRACES:-}"
[[ $SFT == 0 ]] || recorded_form "$parquet/rl_train.parquet" "${traces[@]}" >/dev/null
[[ $SFT == 0 || -d $OUT/sft/hf ]] || stage sft sft
if finished; then say "== grpo: $STEPS steps are done"; else stage grpo grpo "$@"; fi
last_step=$(cat "$OUT/checkpoints/latest_checkpointed_iteration.txt")
exported "$last_step" || stage model export_model "$last_step"
stage report "$VENV/bin/tag-rewards" summarize "$OUT" --data "$parquet"

say "Done in $(((SECONDS - begun) / 60)) min $(((SECONDS - begun) % 60)) s. In $OUT:"
say "  summary.md      the table before and after GRPO"
say "  curves.png      every reward component over the steps"
say "  overlays.png    held-out faces with the detector's boxes and the model's, before and after"
say "  metrics.jsonl   the same figures for each step; validation/ has every held-out completion"
say "  sft/hf, grpo/hf  the models after SFT and after GRPO; logs/ has what verl said"
say "Evaluate and compare the two: OUT=$OUT bash $REPO/recipes/run_tag_eval.sh $policy $OUT/grpo/hf"
