#!/usr/bin/env bash
# OpenRLHF's GRPO on the TAG reward: the arguments that concern the data and the reward.
# Further arguments are passed on: bash examples/openrlhf/train_tag_grpo.sh --train.batch_size 128 ...
set -euo pipefail

# Options of the reward, which OpenRLHF has no arguments for; these are the defaults.
export TAG_REWARDS_OPTIONS='{"format_weight": 0.2, "accuracy_weight": 0.4, "grounding_weight": 0.4}'
reward=$(python -c "import tag_rewards.integrations.openrlhf as m; print(m.__file__)")

exec python -m openrlhf.cli.train_ppo_ray \
    --actor.model_name_or_path Qwen/Qwen2.5-VL-7B-Instruct \
    --algo.advantage.estimator group_norm \
    --rollout.n_samples_per_prompt 5 \
    --reward.remote_url "$reward" \
    --data.prompt_dataset parquet/openrlhf_train.parquet \
    --data.input_key prompt \
    --data.label_key label \
    --data.image_key images \
    --data.max_images_per_prompt 1 \
    --data.apply_chat_template \
    "$@"
