"""GRPO with the TAG reward in TRL.

    python examples/trl/train_grpo.py                      # the tiny VLM, made faces, CPU
    accelerate launch examples/trl/train_grpo.py --config examples/trl/gpu.yaml \
        --model Qwen/Qwen2.5-VL-7B-Instruct --data parquet

--config is a file with fields of TRL's GRPOConfig (default: tiny_vlm.yaml beside this script); each
is an option of the command line too.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from trl import GRPOConfig, GRPOTrainer, TrlParser

from tag_rewards.integrations.trl import (
    accuracy_reward,
    format_reward,
    grounding_reward,
    grpo_dataset,
)

HERE = Path(__file__).resolve().parent
USAGE = "%(prog)s [--config FILE] [--model MODEL] [--data DATA] [any field of GRPOConfig]"


@dataclass
class Options:
    """What is trained on what."""

    model: str = field(
        default=str(HERE.parents[1] / "recipes/tiny_vlm/base"),
        metadata={"help": "Folder or name of the model, after SFT at best."},
    )
    data: str | None = field(
        default=None,
        metadata={
            "help": "Folder with rl_train.parquet and rl_test.parquet of `tag-rewards prepare`; "
            "by default faces are drawn, into OUTPUT_DIR/data."
        },
    )
    faces: int = field(default=400, metadata={"help": "Drawn faces to train on."})
    held_out: int = field(default=128, metadata={"help": "Drawn faces to evaluate on."})


def draw_faces(options: Options, out: Path) -> Path:
    """Parquet files of made faces in the form that the tiny VLM was pretrained on."""
    from tag_rewards.datasets.made_faces import write_dataset
    from tag_rewards.prepare import PrepareConfig, TargetConfig, prepare

    data, faces = out / "data", out / "made_faces"
    if not (data / "prepare.json").exists():
        if not faces.exists():
            write_dataset(faces, options.faces, options.held_out)
        annotation = TargetConfig(canvas=112, top_k=8)
        prepare(faces, faces / "openface", data, PrepareConfig(annotation, prompt="short"))
    return data


def main(arguments: list[str]) -> GRPOTrainer:
    """Train; returns the trainer, whose `state.log_history` has the curves."""
    if "--config" not in arguments:
        arguments = ["--config", str(HERE / "tiny_vlm.yaml"), *arguments]
    parser = TrlParser((Options, GRPOConfig), description=__doc__.splitlines()[0], usage=USAGE)
    options, config = parser.parse_args_and_config(arguments)
    out = Path(config.output_dir)
    data = Path(options.data) if options.data else draw_faces(options, out)
    trainer = GRPOTrainer(
        model=options.model,
        args=config,
        reward_funcs=[format_reward, accuracy_reward, grounding_reward],
        train_dataset=grpo_dataset(data / "rl_train.parquet"),
        eval_dataset=grpo_dataset(data / "rl_test.parquet"),
    )
    trainer.train()
    trainer.save_model(str(out / "model"))
    trainer.save_state()  # trainer_state.json, with every logged value
    return trainer


if __name__ == "__main__":
    main(sys.argv[1:])
