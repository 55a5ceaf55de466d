# The arguments of slime's train.py that concern the data and the reward; source this file in the
# run script and add "${TAG_ARGS[@]}" to the command, and the variable to the Ray job's env_vars.
# shellcheck shell=bash disable=SC2034

TAG_ARGS=(
    --prompt-data parquet/slime_train.parquet # examples/convert_data.py slime
    --input-key prompt
    --label-key label
    --multimodal-keys '{"image": "images"}'
    --apply-chat-template
    --custom-rm-path tag_rewards.integrations.slime.custom_rm
    --reward-key score
    --custom-rollout-log-function-path tag_rewards.integrations.slime.log_components
    --advantage-estimator grpo
    --n-samples-per-prompt 5
)

# Options of the reward, which slime has no arguments for; these are the defaults.
export TAG_REWARDS_OPTIONS='{"format_weight": 0.2, "accuracy_weight": 0.4, "grounding_weight": 0.4}'
