"""Made faces as training batches: endless, drawn in a process of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from architecture import CANVAS, IMAGE_TOKENS, image_patches
from torch.utils.data import DataLoader, IterableDataset

from tag_rewards.datasets import RAFDB_LABELS
from tag_rewards.datasets.made_faces import DRAWN_AUS, MadeFace, make_face, observe
from tag_rewards.detectors import activated_aus
from tag_rewards.geometry import BoxSpace, clip_boxes
from tag_rewards.prepare import AUBox, render_prompt, write_trace
from tag_rewards.target import AUEvidence, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast

LABELS = tuple(RAFDB_LABELS.values())
SPACE = BoxSpace.pixels(CANVAS, CANVAS)
TOP_K = 8


@dataclass(frozen=True, slots=True)
class Example:
    """A made face with what is to be said of it.

    Attributes:
        face: the drawing, its landmarks and AUs.
        patches: ``(64, 1176)`` float32, the image as the model's processor cuts it.
        target: what a completion is scored against.
        answer: the trace, precise.
    """

    face: MadeFace
    patches: NDArray[np.float32]
    target: Target
    answer: str


def example(rng: np.random.Generator) -> Example:
    """Draw a face; its image passes through JPEG, as those of a dataset's folder do."""
    face = make_face(rng, CANVAS)
    _, jpeg = cv2.imencode(".jpg", face.image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    image = cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    evidence = [
        AUEvidence(seen.au, seen.probability, _whole_pixels(seen.box))
        for seen in activated_aus(observe(face, rng).observation(), top_k=TOP_K)
    ]
    bounds = np.concatenate([face.landmarks.min(axis=0), face.landmarks.max(axis=0)])
    boxes = [AUBox(seen.au, seen.box) for seen in evidence]
    answer = write_trace(face.label, boxes, _whole_pixels(bounds), rng, style="short")
    return Example(face, image_patches(image), Target(face.label, tuple(evidence), SPACE), answer)


def _whole_pixels(box: Any) -> tuple[int, int, int, int]:
    [clipped] = clip_boxes(np.asarray(box, dtype=float)[None], CANVAS, CANVAS)
    x1, y1, x2, y2 = (int(value) for value in np.rint(clipped))
    return x1, y1, x2, y2


def prompt_text() -> str:
    """The prompt in the chat format, with the image's place filled by its 16 tokens."""
    text = render_prompt("short", LABELS, SPACE, TOP_K)
    image = "<|vision_start|>" + "<|image_pad|>" * IMAGE_TOKENS + "<|vision_end|>"
    turn = text.replace("<image>", image)
    return f"<|im_start|>user\n{turn}<|im_end|>\n<|im_start|>assistant\n"


def shape_batch(rng: np.random.Generator, size: int) -> dict[str, torch.Tensor]:
    """What the visual encoder learns from alone: patches, landmarks, AUs and labels."""
    examples = [example(rng) for _ in range(size)]
    landmarks = np.stack([one.face.landmarks for one in examples]) / CANVAS - 0.5
    shown = [[float(au in one.face.intensities) for au in DRAWN_AUS] for one in examples]
    return {
        "patches": torch.from_numpy(np.concatenate([one.patches for one in examples])),
        "landmarks": torch.from_numpy(landmarks.reshape(size, -1).astype(np.float32)),
        "aus": torch.tensor(shown),
        "labels": torch.tensor([LABELS.index(one.face.label) for one in examples]),
    }


def trace_batch(
    rng: np.random.Generator, size: int, tokenizer: PreTrainedTokenizerFast, pool: int = 4
) -> list[dict[str, torch.Tensor]]:
    """``pool`` batches of traces of similar length: less padding than batches at random."""
    prompt = tokenizer(prompt_text())["input_ids"]
    examples = [example(rng) for _ in range(size * pool)]
    answers = [tokenizer(one.answer + "<|im_end|>")["input_ids"] for one in examples]
    order = np.argsort([len(answer) for answer in answers], kind="stable")
    batches = []
    for chunk in rng.permutation(order.reshape(pool, size)):
        rows = [(prompt, answers[index]) for index in chunk]
        patches = np.concatenate([examples[index].patches for index in chunk])
        batches.append(collate(rows, patches, tokenizer))
    return batches


def collate(
    rows: list[tuple[list[int], list[int]]],
    patches: NDArray[np.float32],
    tokenizer: PreTrainedTokenizerFast,
    multiple: int = 32,
) -> dict[str, torch.Tensor]:
    """Prompt and answer tokens, padded on the right; only the answer's tokens bear a loss."""
    # Few different lengths: a compiled model has little to recompile.
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    longest = -(-longest // multiple) * multiple
    ids = torch.full((len(rows), longest), tokenizer.pad_token_id)
    labels = torch.full((len(rows), longest), -100)
    for row, (prompt, answer) in enumerate(rows):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor(prompt + answer)
        labels[row, len(prompt) : end] = torch.tensor(answer, dtype=torch.long)
    image_pad = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    return {
        "input_ids": ids,
        "attention_mask": (ids != tokenizer.pad_token_id).long(),
        "mm_token_type_ids": (ids == image_pad).long(),
        "labels": labels,
        "pixel_values": torch.from_numpy(patches),
        "image_grid_thw": torch.tensor([[1, CANVAS // 14, CANVAS // 14]] * len(rows)),
    }


class _Endless(IterableDataset[Any]):
    def __init__(self, make: Any, seed: tuple[int, ...], start: int) -> None:
        self.make, self.seed, self.start = make, seed, start

    def __iter__(self) -> Iterator[Any]:
        cv2.setNumThreads(0)
        step = self.start
        while True:
            yield self.make(np.random.default_rng([*self.seed, step]))
            step += 1


def stream(make: Any, seed: tuple[int, ...], start: int = 0) -> Iterator[Any]:
    """Batches of ``make(rng)`` from a process of their own, the same for the same seed."""
    loader = DataLoader(
        _Endless(make, seed, start), batch_size=None, num_workers=1, prefetch_factor=4
    )
    return iter(loader)
