"""GRPO with the TAG reward in Unsloth: Qwen3-VL on one small GPU. Not run by us.

    tag-rewards prepare DATASET --evidence evidence --out parquet --model Qwen/Qwen3-VL-4B-Instruct
    python examples/trl/unsloth_grpo.py parquet/rl_train.parquet

Unsloth changes TRL when it is imported, so it comes first.
"""

import sys
from typing import Any

MODEL = "Qwen/Qwen3-VL-4B-Instruct"
LOADING: dict[str, Any] = {"max_seq_length": 4096, "load_in_4bit": True}
LORA: dict[str, Any] = {
    "r": 16,
    "lora_alpha": 16,
    "finetune_vision_layers": False,  # as TAG freezes the visual encoder
    "finetune_language_layers": True,
    "use_gradient_checkpointing": "unsloth",
}
TRAINING: dict[str, Any] = {
    "output_dir": "runs/unsloth",
    "reward_weights": [0.2, 0.4, 0.4],  # format, accuracy, grounding
    "num_generations": 4,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 4,
    "max_completion_length": 1024,
    "learning_rate": 5e-6,
    "optim": "adamw_8bit",
    "logging_steps": 1,
}


def main(parquet: str) -> None:
    """Train on an RL file of `tag-rewards prepare`."""
    from unsloth import FastVisionModel  # isort: skip
    from trl import GRPOConfig, GRPOTrainer

    from tag_rewards.integrations.trl import (
        accuracy_reward,
        format_reward,
        grounding_reward,
        grpo_dataset,
    )

    model, processor = FastVisionModel.from_pretrained(MODEL, **LOADING)
    GRPOTrainer(
        model=FastVisionModel.get_peft_model(model, **LORA),
        processing_class=processor,
        reward_funcs=[format_reward, accuracy_reward, grounding_reward],
        args=GRPOConfig(**TRAINING),
        train_dataset=grpo_dataset(parquet),
    ).train()


if __name__ == "__main__":
    main(sys.argv[1])
