#!/usr/bin/env bash
# GRPO with the TAG reward in ms-swift. Without settings: the tiny VLM on made faces, on the CPU.
#
#   bash examples/ms_swift/grpo.sh
#   MODEL=Qwen/Qwen2.5-VL-7B-Instruct DATA=parquet bash examples/ms_swift/grpo.sh --use_vllm true
#
# MODEL    folder or name of the model, after SFT at best
# DATA     folder with rl_train.parquet of `tag-rewards prepare`; by default faces are drawn
# OUT      folder for everything that is written (runs/ms-swift)
# FACES    how many faces are drawn (64)
# Further arguments are those of `swift rlhf`, and win over the ones here.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
OUT=${OUT:-runs/ms-swift}
DATA=${DATA:-$OUT/data}

plugins=("$here/plugin.py")
settings=()
if [[ -z ${MODEL:-} ]]; then
    MODEL=$here/../../recipes/tiny_vlm/base
    plugins+=("$here/tiny_vlm.py")
    settings+=(
        --model_type qwen2_5_vl --template qwen2_5_vl --system ''
        --torch_dtype float32 --use_cpu true --max_steps 10 --save_strategy no --report_to none
        --learning_rate 2e-4 --lr_scheduler_type constant --gradient_accumulation_steps 1
        --per_device_train_batch_size 8 --num_generations 4 --max_completion_length 192
        --temperature 0.6 --gradient_checkpointing false
    )
    if [[ ! -e $DATA/prepare.json ]]; then
        tag-rewards made-faces "$OUT/faces" --train "${FACES:-64}" --test 8
        tag-rewards prepare "$OUT/faces" --openface "$OUT/faces/openface" --out "$DATA" \
            --canvas 112 --prompt short --top-k 8
    fi
fi

exec swift rlhf --rlhf_type grpo --model "$MODEL" --tuner_type full \
    --external_plugins "${plugins[@]}" \
    --reward_funcs tag_format tag_accuracy tag_grounding --reward_weights 0.2 0.4 0.4 \
    --dataset "$DATA/rl_train.parquet" --columns '{"prompt": "messages"}' --split_dataset_ratio 0 \
    --output_dir "$OUT/run" --logging_steps 1 \
    "${settings[@]}" "$@"
