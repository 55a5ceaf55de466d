"""A picture of what a counterfactual question shows: some faces, masked in each way."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tag_rewards.completions.completion import read_completions
from tag_rewards.completions.counterfactual import hide, mask_face
from tag_rewards.files.images import decode_image
from tag_rewards.files.journal import read_records
from tag_rewards.pictures.marks import ModelView, claim_marks
from tag_rewards.pictures.sheet import FacePicture, draw_faces, whole_image
from tag_rewards.prepare.eval_set import read_evaluation_set
from tag_rewards.prepare.rows import read_rl_parquet

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from tag_rewards.completions.counterfactual import CounterfactualConfig


def draw_counterfactuals(
    data: Path,
    completions: Path,
    counterfactual: Path,
    config: CounterfactualConfig,
    faces: int = 6,
) -> Drawing:
    """The first faces that were asked about, one to a row: as it is, claimed boxes hidden, others.

    Args:
        data: `eval.parquet`.
        completions: What was claimed.
        counterfactual: What was answered; at least one face in it.
        config: With which it was asked.
        faces: Rows at most.
    """
    pictures = list(islice(_pictures(data, completions, counterfactual, config), faces))
    return draw_faces([picture for row in pictures for picture in row], len(pictures[0]))


def _pictures(
    data: Path, completions: Path, counterfactual: Path, config: CounterfactualConfig
) -> Iterator[list[FacePicture]]:
    by_id = {face.id: face for face in read_evaluation_set(data).faces}
    texts = read_completions(completions, [*by_id.values()])
    asked = {record["id"]: record for record in read_records(counterfactual)}
    for row in read_rl_parquet(data):
        record = asked[row.id]
        if record["left_out"]:
            continue
        face, text = by_id[row.id], texts[row.id].completion or ""
        image = decode_image(row.image, f"{data}: the image of {row.id!r}")
        whole = whole_image(image)
        claims = claim_marks(text, ModelView.of(face.target, image))
        pictures = [FacePicture(row.id, f"answer: {record['answer']}", image, claims, whole)]
        masked = mask_face(face, text, image, config)
        answers = [record["answer_claimed_masked"], *record["answers_elsewhere_masked"]]
        names = ["claimed boxes hidden", *["as much hidden elsewhere"] * len(masked.draws)]
        for name, answer, boxes in zip(
            names, answers, (masked.claimed, *masked.draws), strict=True
        ):
            hidden = hide(image, boxes, masked.colour)
            pictures.append(FacePicture(name, f"answer: {answer or 'none'}", hidden, (), whole))
        yield pictures
