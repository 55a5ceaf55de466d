"""AReaL's GRPO on the TAG reward: python tag_grpo.py --config AREAL_CONFIG.yaml ...

The configuration is AReaL's, e.g. its examples/vlm/geometry3k_grpo.yaml, with `train_dataset.path`
and `valid_dataset.path` set to rl_train.parquet and rl_test.parquet of `tag-rewards prepare`.
"""

from __future__ import annotations

import sys
from io import BytesIO
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from PIL import Image

from tag_rewards.prepare import read_rl_parquet

if TYPE_CHECKING:
    from tag_rewards.prepare import RLRow

REWARD = "tag_rewards.integrations.areal.tag_reward"


def sample_of(row: RLRow, processor: Any) -> dict[str, Any]:
    """A row of the columns that AReaL's vision workflow reads; the reward gets them all."""
    text = row.prompt.replace("<image>", "").strip()
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
    vllm_chat = [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": ""}},  # AReaL fills it in
                {"type": "text", "text": text},
            ],
        }
    ]
    return {
        "messages": processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True),
        "messages_chat": vllm_chat,
        "images": [Image.open(BytesIO(row.image)).convert("RGB")],
        "answer": row.target.to_json(),
    }


def dataset_of(path: str, processor: Any) -> Dataset:
    """What `tag-rewards prepare` wrote, in AReaL's columns."""
    return Dataset.from_list([sample_of(row, processor) for row in read_rl_parquet(path)])


def main(args: list[str]) -> None:
    """Train as AReaL's configuration says."""
    from areal import PPOTrainer
    from areal.api.cli_args import GRPOConfig, load_expr_config
    from areal.utils.hf_utils import load_hf_processor_and_tokenizer

    config, _ = load_expr_config(args, GRPOConfig)
    processor, _ = load_hf_processor_and_tokenizer(config.tokenizer_path)
    workflow = "areal.workflow.vision_rlvr.VisionRLVRWorkflow"
    settings = {
        "reward_fn": REWARD,
        "gconfig": config.gconfig,
        "tokenizer": config.tokenizer_path,
        "processor": config.tokenizer_path,
        "enable_thinking": False,
    }
    with PPOTrainer(
        config,
        train_dataset=dataset_of(config.train_dataset.path, processor),
        valid_dataset=dataset_of(config.valid_dataset.path, processor),
    ) as trainer:
        trainer.train(
            workflow=workflow,
            workflow_kwargs=settings,
            eval_workflow=workflow,
            eval_workflow_kwargs=settings,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
