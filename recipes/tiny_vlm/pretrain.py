"""Make the base model of the embedded default: ``python recipes/tiny_vlm/pretrain.py OUT``.

Two stages on made faces, seeds apart from those of every dataset that ``made-faces`` writes:

1. *see*: the visual encoder alone learns where the 68 landmarks are and which AUs are shown.
2. *tell*: the whole model learns to write traces, with precise boxes.

The result is what a pretrained VLM is to the real recipe: it knows AUs and can point. Stage 1 of
the recipe (SFT on imprecise traces) makes it worse, as traces written by a VLM would; stage 2
(GRPO) is what is shown.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from architecture import IMAGE_TOKENS, build_config, build_processor, save
from faces import LABELS, collate, example, prompt_text, shape_batch, stream, trace_batch
from fast_vision import fast_vision
from torch.nn import functional as F  # noqa: N812
from transformers import Qwen2_5_VLForConditionalGeneration

from tag_rewards import score
from tag_rewards.datasets.made_faces import DRAWN_AUS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from transformers import PreTrainedTokenizerFast

# np.random.default_rng([SEED, ...]): datasets use [seed, split, index], with a seed that people
# type.
SEED = 2602_18763
VOCABULARY, SEE, TELL, HELD_OUT = range(4)


def corpus(n: int = 2000) -> Iterator[str]:
    """Texts for the tokenizer: prompt, traces, and every coordinate."""
    rng = np.random.default_rng([SEED, VOCABULARY])
    yield prompt_text()
    for _ in range(n):
        yield example(rng).answer
    yield from (f"[{value}]" for value in range(1000) for _ in range(3))


def learning_rate(step: int, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up, then a cosine down to a fiftieth of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))))


class Trainer:
    """AdamW, a schedule, a clip and a log."""

    def __init__(self, parameters: Any, steps: int, peak: float, log: Path, stage: str) -> None:
        self.parameters = list(parameters)
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=peak, betas=(0.9, 0.98), weight_decay=0.01, fused=True
        )
        self.steps, self.peak, self.stage, self.log = steps, peak, stage, log
        self.begun = time.monotonic()

    def step(self, step: int, loss: torch.Tensor) -> None:
        """One update."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, self.steps, self.peak, warmup=200)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()

    def note(self, step: int, loss: torch.Tensor, figures: dict[str, float]) -> None:
        """One line to the log and to the screen."""
        line = {"stage": self.stage, "step": step, "seconds": round(time.monotonic() - self.begun)}
        line |= {"loss": round(loss.item(), 4)} | {k: round(v, 4) for k, v in figures.items()}
        print(line, flush=True)
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def see(model: Qwen2_5_VLForConditionalGeneration, steps: int, size: int, log: Path) -> None:
    """Stage 1: the visual encoder with a linear head over all its image tokens."""
    encoder = torch.compile(fast_vision(model.model.visual))
    width = model.config.vision_config.out_hidden_size
    parts = [136, len(DRAWN_AUS), len(LABELS)]
    head = torch.nn.Linear(IMAGE_TOKENS * width, sum(parts))

    def predict(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return head(encoder(batch["patches"]).view(len(batch["labels"]), -1)).split(parts, 1)

    trainer = Trainer(
        [*model.model.visual.parameters(), *head.parameters()], steps, 1.5e-3, log, "see"
    )
    rng = np.random.default_rng([SEED, HELD_OUT])
    held_out = [shape_batch(rng, size) for _ in range(4)]
    batches = stream(partial(shape_batch, size=size), (SEED, SEE))
    for step in range(steps):
        batch = next(batches)
        landmarks, aus, labels = predict(batch)
        loss = 20 * F.smooth_l1_loss(landmarks, batch["landmarks"], beta=0.02)
        loss = loss + F.binary_cross_entropy_with_logits(aus, batch["aus"])
        loss = loss + 0.3 * F.cross_entropy(labels, batch["labels"])
        trainer.step(step, loss)
        if step % 250 == 249 or step == steps - 1:
            trainer.note(step + 1, loss, _seen(predict, held_out))


@torch.no_grad()
def _seen(predict: Callable[..., Any], batches: list[dict[str, torch.Tensor]]) -> dict[str, float]:
    error, right, shown, hit, claimed = 0.0, 0, 0.0, 0.0, 0.0
    for batch in batches:
        landmarks, aus, labels = predict(batch)
        offset = (landmarks - batch["landmarks"]).view(-1, 68, 2) * 112
        error += offset.norm(dim=-1).mean().item() / len(batches)
        right += int((labels.argmax(1) == batch["labels"]).sum())
        shown += batch["aus"].sum().item()
        claimed += (aus > 0).sum().item()
        hit += ((aus > 0) * batch["aus"]).sum().item()
    faces = sum(len(batch["labels"]) for batch in batches)
    return {
        "landmark_error_px": error,
        "au_f1": 2 * hit / max(1.0, shown + claimed),
        "accuracy": right / faces,
    }


def tell(
    model: Qwen2_5_VLForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    steps: int,
    size: int,
    log: Path,
    checkpoint: Callable[[], None],
) -> None:
    """Stage 2: the whole model on traces."""
    encoder = torch.compile(fast_vision(model.model.visual), dynamic=False)
    for layer in model.model.language_model.layers:
        layer.compile(dynamic=True)
    trainer = Trainer(model.parameters(), steps, 1.5e-3, log, "tell")
    pools = stream(partial(trace_batch, size=size, tokenizer=tokenizer), (SEED, TELL))
    step = 0
    while step < steps:
        for batch in next(pools):
            if step >= steps:
                break
            loss = trace_loss(model, encoder, batch)
            trainer.step(step, loss)
            step += 1
            if step % 500 == 0 or step == steps:
                trainer.note(step, loss, told(model, tokenizer, 64 if step < steps else 512))
                checkpoint()


def trace_loss(
    model: Qwen2_5_VLForConditionalGeneration,
    encoder: Callable[[torch.Tensor], torch.Tensor],
    batch: dict[str, torch.Tensor],
) -> torch.Tensor:
    """Cross-entropy of the answers' tokens, with the image tokens from the fast encoder."""
    ids, labels = batch["input_ids"], batch["labels"]
    embeddings = model.get_input_embeddings()(ids)
    image = batch["mm_token_type_ids"].bool()
    embeddings = embeddings.masked_scatter(image[..., None], encoder(batch["pixel_values"]))
    positions, _ = model.model.get_rope_index(
        ids,
        mm_token_type_ids=batch["mm_token_type_ids"],
        image_grid_thw=batch["image_grid_thw"],
        attention_mask=batch["attention_mask"],
    )
    # Padding stands on the right: causal attention never lets it reach a token with a loss.
    hidden = model.model.language_model(
        inputs_embeds=embeddings, position_ids=positions, attention_mask=None, use_cache=False
    ).last_hidden_state
    told = labels[:, 1:] != -100
    logits = model.lm_head(hidden[:, :-1][told])
    return F.cross_entropy(logits, labels[:, 1:][told])


@torch.no_grad()
@torch.compiler.set_stance("force_eager")  # generation would recompile for each cache length
def told(
    model: Qwen2_5_VLForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, n: int
) -> dict[str, float]:
    """The library's own scores of greedy completions on held-out faces."""
    rng = np.random.default_rng([SEED, HELD_OUT])
    prompt = tokenizer(prompt_text())["input_ids"]
    totals: dict[str, float] = {}
    model.eval()
    for _ in range(0, n, 64):
        examples = [example(rng) for _ in range(min(64, n))]
        patches = np.concatenate([one.patches for one in examples])
        batch = collate([(prompt, [])] * len(examples), patches, tokenizer, multiple=1)
        del batch["labels"]
        out = model.generate(**batch, max_new_tokens=256, do_sample=False)
        texts = tokenizer.batch_decode(out[:, len(prompt) :], skip_special_tokens=True)
        for text, one in zip(texts, examples, strict=True):
            scores = score(text, one.target)
            for key in ("score", "format", "accuracy", "grounding", "mean_iou", "au_f1"):
                totals[key] = totals.get(key, 0.0) + scores[key] / n
    model.train()
    return totals


def check_fast_vision(model: Qwen2_5_VLForConditionalGeneration) -> None:
    """The fast encoder must compute what transformers' does."""
    batch = shape_batch(np.random.default_rng(0), 2)
    grid = torch.tensor([[1, 8, 8]] * 2)
    with torch.no_grad():
        theirs = model.model.visual(batch["patches"], grid_thw=grid).pooler_output
        ours = fast_vision(model.model.visual)(batch["patches"])
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3)


def main() -> None:
    """Pretrain; write ``OUT``, a Hugging Face folder, and ``OUT/pretraining.jsonl``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder to write the model to")
    parser.add_argument("--see-steps", type=int, default=1500)
    parser.add_argument("--tell-steps", type=int, default=2200)
    parser.add_argument("--see-batch", type=int, default=64)
    parser.add_argument("--tell-batch", type=int, default=32)
    parser.add_argument("--init", type=Path, help="begin from the weights of this folder")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / "pretraining.jsonl"
    torch.manual_seed(0)
    processor = build_processor(corpus())
    if options.init:
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
            options.init, dtype=torch.float32
        )
    else:
        model = Qwen2_5_VLForConditionalGeneration(build_config(processor.tokenizer))
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters")
    check_fast_vision(model)
    if options.see_steps:
        see(model, options.see_steps, options.see_batch, log)

    def checkpoint() -> None:
        save(model, processor, options.out)

    checkpoint()
    tell(model, processor.tokenizer, options.tell_steps, options.tell_batch, log, checkpoint)


if __name__ == "__main__":
    main()
