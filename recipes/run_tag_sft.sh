#!/usr/bin/env bash
# Usage: bash recipes/run_tag_sft.sh [HYDRA_OVERRIDE ...]
#
# Stage 1 of TAG: supervised fine-tuning of a vision-language model on TAG traces with verl's SFT
# trainer. The language model and the projector are trained; the visual encoder is frozen. The result
# is a Hugging Face folder, OUT/sft/hf. A run that was stopped goes on from its last checkpoint when
# the same command is given again.
#
# Settings, as environment variables      without a GPU          with one
#   DATA        folder with sft_train.parquet and sft_test.parquet (`tag-rewards prepare`)
#   TRACES      instead of DATA: such a folder (`tag-rewards traces build` makes OUT/traces), or several
#               to be mixed, separated by spaces, each with a weight if its rows are to come more or
#               less than once in an epoch: TRACES="built/traces:2 parquet/data:0.5"
#   SEED        chooses the rows of a fractional weight            0          0
#   OUT         where everything goes       runs/tag               runs/tag
#   MODEL       Hugging Face folder or name recipes/tiny_vlm/base  Qwen/Qwen3-VL-8B-Instruct
#   ENABLE_THINKING  true or false, as run_tag_grpo.sh has it      as MODEL's chat template has it
#   NGPUS       GPUs of a node              -                      all
#   NNODES      nodes, of the Ray cluster that this node or RAY_ADDRESS is of; or start this on each
#               with NODE_RANK, MASTER_ADDR and MASTER_PORT, without Ray                  1
#   RAY_ADDRESS  trains on that Ray cluster; OUT must then be a shared folder
#   PRESET      1x24, 1x80, 8x80 or 2x8x80: nodes x GPUs x GB of each; a model, LoRA and sizes that
#               fit it, for what is not set
#   EPOCHS      passes over the data        3                      3
#   BATCH       traces of a step            32                     96
#   LR          learning rate               3e-4                   2e-5
#   MAX_LENGTH  most tokens of a trace, with its prompt and image  512        2048
#   DROP_LONG   1: leave longer traces out, 0: do not start        0          0
#   MAX_TOKENS  tokens of a micro-batch     8192                   16384
#   TIMEOUT     seconds until the run counts as hung and is stopped            3600       604800
#   LORA        rank of a LoRA adapter, which alone is trained and is in the weights afterwards    none
#   FREEZE_VISION    0: train the visual encoder too               1          1
#   FLASH_ATTENTION  1 or 0: use it or not  0                      1 if installed
#   LOGGER      verl loggers besides console and file, separated by commas: tensorboard,wandb
#   VENV        virtual environment: .venv, which recipes/setup.sh keeps; TAG_SETUP=0 takes it as it is
#   MEMORY_CHECK=0  starts even if the estimate of a GPU's memory says that the run cannot fit
#   DRY_RUN=1 prints what would be given to verl, one argument a line, and stops
#
# verl's settings are in recipes/config/tag_sft*.yaml, hydra files over verl's own defaults.
# What stands behind the command goes to verl: ... run_tag_sft.sh optim.weight_decay=0
#
# The form of the traces is what the model writes from then on, and is noted in its config.json.
#
# Afterwards in OUT: sft/hf, sft/data/sft_data.json (what it was trained on), sft/checkpoints/,
# logs/sft.log. Other data, another model or another batch in the same OUT is refused.

set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
begin_recipe "$@"

# Without a variable's value, what recipes/config says holds; here is what this script computes with.
begin_verl tag_sft
EPOCHS=${EPOCHS:-3} FREEZE_VISION=${FREEZE_VISION:-1}
DROP_LONG=${DROP_LONG:-0} SEED=${SEED:-0}
BATCH=${BATCH:-$(configured train_batch_size)}
MAX_LENGTH=${MAX_LENGTH:-$(configured max_length)}
MAX_TOKENS=${MAX_TOKENS:-$(configured max_token_len_per_gpu)}
if [[ $device == gpu ]]; then
    gpu_settings
else
    NGPUS=1 MODEL=${MODEL:-$REPO/recipes/tiny_vlm/base} TIMEOUT=${TIMEOUT:-3600}
fi
NNODES=${NNODES:-1}
is_count NGPUS NNODES EPOCHS BATCH MAX_LENGTH MAX_TOKENS TIMEOUT LORA
workers=$((NGPUS * NNODES))
((BATCH % workers == 0)) || die "BATCH=$BATCH: must be a multiple of the $workers GPUs"
if [[ -d $MODEL ]]; then
    MODEL=$(realpath "$MODEL")
elif [[ $MODEL == [./]* ]]; then
    die "MODEL=$MODEL: no such folder"
fi
((MAX_TOKENS >= MAX_LENGTH)) ||
    die "MAX_TOKENS=$MAX_TOKENS: a micro-batch must hold a trace of MAX_LENGTH=$MAX_LENGTH tokens"
check_thinking
[[ $DROP_LONG == [01] ]] || die "DROP_LONG=$DROP_LONG: must be 0 or 1"
[[ $SEED =~ ^[0-9]+$ ]] || die "SEED=$SEED: must be a whole number"

read -ra datasets <<<"${TRACES:-}"
# DATA is one folder, whatever spaces and colons are in its name.
[[ -n ${TRACES:-} || -z ${DATA:-} ]] || datasets=("$(realpath -m "$DATA"):1")
if [[ ${DRY_RUN:-} != 1 ]]; then
    ((${#datasets[@]})) ||
        die "neither DATA nor TRACES is set: name a folder with sft_train.parquet"
    for dataset in "${datasets[@]}"; do
        [[ -f ${dataset%:*}/sft_train.parquet || -f $dataset/sft_train.parquet ]] ||
            die "${TRACES:+TRACES=$TRACES: }no sft_train.parquet in ${dataset%:*}"
    done
fi
data=$OUT/sft/data
checkpoints=$OUT/sft/checkpoints

done_already() {
    say "SFT is done already: $OUT/sft/hf (remove $OUT/sft to train again)"
    exit 0
}

# What a run is begun with and must not change. The data is told by its content, see `sft-data`.
settings=("$OUT/sft/settings.txt" MODEL FREEZE_VISION BATCH ${LORA:+LORA}
    ${ENABLE_THINKING:+ENABLE_THINKING})
asked=$data/asked.txt
if [[ -d $OUT/sft/hf && ${DRY_RUN:-} != 1 ]]; then
    [[ ! -e ${settings[0]} ]] || same_settings "${settings[@]}"
    # The same words need no look at the data.
    [[ -e $asked && $(<"$asked") != "${datasets[*]}" ]] || done_already
fi

# ---------------------------------------------------------------- the data

export HF_HUB_OFFLINE=${HF_HUB_OFFLINE:-$([[ -d $MODEL ]] && echo 1 || echo 0)}
validation=$(quoted "$data/sft_test.parquet")
steps=null
if [[ ${DRY_RUN:-} != 1 ]]; then
    set_up
    no_adapter "$MODEL"
    drop=()
    [[ $DROP_LONG == 0 ]] || drop=(--drop-long)
    "$VENV/bin/tag-rewards" sft-data "${datasets[@]}" --out "$data" --model "$MODEL" \
        --max-length "$MAX_LENGTH" --seed "$SEED" $(thinking_option) "${drop[@]}"
    same_settings "${settings[@]}"
    form=$(recorded_form "${datasets[@]}") || exit 1
    decided "${settings[0]}" "$MODEL" "$form"
    printf '%s\n' "${datasets[*]}" >"$asked"
    [[ ! -d $OUT/sft/hf ]] || done_already
    # verl drops an incomplete batch: with fewer traces than a batch it would train no step.
    n=$(parquet_rows "$data/sft_train.parquet")
    if ((n < BATCH)); then
        ((n >= workers)) || die "$data/sft_train.parquet: $n traces are too few for $workers GPUs"
        BATCH=$((n / workers * workers))
        say "only $n traces: BATCH is $BATCH"
    fi
    steps=$((EPOCHS * (n / workers / (BATCH / workers))))
    (($(parquet_rows "$data/sft_test.parquet") >= BATCH)) || validation=null
fi

# ---------------------------------------------------------------- what verl is told

for_verl+=(
    "data.train_files=$(quoted "$data/sft_train.parquet")"
    "data.val_files=$validation"
    "data.train_batch_size=$BATCH"
    "data.max_length=$MAX_LENGTH"
    "data.max_token_len_per_gpu=$MAX_TOKENS"
    "model.path=$(quoted "$MODEL")"
    "trainer.total_training_steps=$steps"
    # The steps decide. verl resumes from an epoch's end by passing over the next epoch, hence one more.
    "trainer.total_epochs=$((EPOCHS + 1))"
    "trainer.nnodes=$NNODES"
    "trainer.n_gpus_per_node=$NGPUS"
    "trainer.default_local_dir=$(quoted "$checkpoints")"
    "trainer.experiment_name=$(quoted "$(basename "$OUT")")"
    ${LOGGER:+"trainer.logger=[console,file,$LOGGER]"}
)
[[ $validation != null ]] || for_verl+=(trainer.test_freq=-1)
set_where_given LR optim.lr
set_model model
set_thinking
end_dry_run "$@"
check_memory "$MODEL" "$@"

# ---------------------------------------------------------------- the run

mkdir -p "$OUT/logs"
# verl overwrites the file of its file logger, so each launch gets its own.
VERL_FILE_LOGGER_PATH=$OUT/logs/sft-metrics-$(date +%Y%m%d-%H%M%S).jsonl
export VERL_FILE_LOGGER_PATH
[[ $FREEZE_VISION != 1 ]] || export VERL_ENGINE_VENDOR=frozen_vision
[[ $device == gpu ]] || cpu_environment

if [[ -z ${NODE_RANK:-} && ($NNODES -gt 1 || -n ${RAY_ADDRESS:-}) ]]; then
    trainer=("$VENV/bin/python" -m verl.trainer.sft_trainer_ray)
    RAY_JOB_CONFIG_JSON_ENV_VAR=$(ray_job_environment VERL_ENGINE_VENDOR VERL_PLATFORM HF_HUB_OFFLINE)
    export RAY_JOB_CONFIG_JSON_ENV_VAR
else
    trainer=("$VENV/bin/python" -m torch.distributed.run --nnodes="$NNODES" --nproc-per-node="$NGPUS")
    if ((NNODES > 1)); then
        trainer+=(--node-rank="$NODE_RANK" --master-addr="${MASTER_ADDR:?is not set}"
            --master-port="${MASTER_PORT:-29500}")
    else
        trainer+=(--standalone)
    fi
    trainer+=(-m verl.trainer.sft_trainer)
fi

say "SFT of $MODEL on ${TRACES:-$DATA} (log: $OUT/logs/sft.log)"
supervise "$OUT/logs/sft.log" "$TIMEOUT" \
    '\bstep:(\d+) - .*train/loss:(?:np\.float\w+\()?([\d.e+-]+)' "step \1 of $steps, loss \2" \
    "${trainer[@]}" "${for_verl[@]}" "$@"

# Without Ray the first node writes the model. verl's tracker names a checkpoint once it is complete.
((${NODE_RANK:-0} == 0)) || exit 0
done=$(cat "$checkpoints/latest_checkpointed_iteration.txt")
last=$checkpoints/global_step_$done/huggingface
has_weights "$last" || die "no model was written to $last"
last=$(folded "$last" "$OUT/sft/folded_step_$done")
note_form "$last" "$form"
ln -sfn "$(realpath --relative-to="$OUT/sft" "$last")" "$OUT/sft/hf"
say "Done: $OUT/sft/hf"
