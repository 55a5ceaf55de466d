"""Folders of results as `tag-rewards eval` writes them, with figures that are made up."""

import json
from dataclasses import replace

import cv2
import numpy as np

from tag_rewards.evaluation.classification import ClassFigures, Classification
from tag_rewards.evaluation.measures import MEASURES, Figure
from tag_rewards.evaluation.results import (
    AUFigures,
    ClaimRow,
    FaceRow,
    Faces,
    GalleryFace,
    Results,
    write_face_rows,
    write_gallery,
    write_results,
)
from tag_rewards.geometry import BoxSpace
from tag_rewards.target import AUEvidence, Target
from tests.builders.trace import honest

LABELS = ("neutral", "happiness", "sadness")
SPACE = BoxSpace.pixels(96, 96)
BASELINES = {"random boxes": 0.05, "mean boxes": 0.4, "whole face": 0.1}


def figure(value, n=8):
    return Figure(value, max(value - 0.05, 0), min(value + 0.05, 1), n)


def smile(dx=0, label="happiness"):
    evidence = (
        AUEvidence(12, 0.91, (20 + dx, 55, 60 + dx, 75)),
        AUEvidence(6, 0.72, (18 + dx, 30, 64 + dx, 52)),
    )
    return Target(label, evidence, SPACE)


def image(shade=180):
    return cv2.imencode(".png", np.full((96, 96, 3), shade, np.uint8))[1].tobytes()


def face_row(name="", label="", answer=None, **fields):
    """The row of a face; what a test does not say is nothing, or follows from the answer."""
    plain = {
        "no_answer": "" if answer else "no_tag",
        "answer_compat": answer,
        "completion": "",
        "target": "{}",
        "confidence": None,
        "abstained": False,
        **dict.fromkeys(("score", "format", "grounding"), 0.0),
    }
    return FaceRow(name, label, answer, **{**plain, **fields})


def sample(name, target, completion, answer=None, mean_iou=0.5):
    """A row whose scores are made up, but for those that the report shows."""
    n_aus = len(target.evidence)
    return face_row(
        name,
        target.label,
        answer,
        completion=completion,
        target=target.to_json(),
        abstained=not target.evidence,
        hallucinated=0.0,
        claims=tuple(ClaimRow(e.au, mean_iou, e.box, "face", None) for e in target.evidence),
        **dict.fromkeys(("score", "grounding", "mean_iou"), mean_iou),
        **dict.fromkeys(("format", "hit_rate", "au_precision", "au_recall", "au_f1"), 1.0),
        **dict.fromkeys(("n_aus", "n_placed", "n_mentions"), n_aus),
    )


def made_samples(count=8):
    """Faces with falling IoU, every third of them wrong."""
    rows = []
    for index in range(count):
        target = smile(index % 20, LABELS[1 + index % 2])
        answer = LABELS[0] if index % 3 == 2 else target.label
        text = honest(target, dx=index % 12, label=answer)
        rows.append(sample(f"face_{index:03d}", target, text, answer, 1 - index / count))
    return rows


def classification(accuracy, ece, labels):
    by_class = tuple(
        ClassFigures(
            label, figure(0.5), None if label == "neutral" else figure(0.5), figure(0.5), 4, 4
        )
        for label in labels
    )
    confusion = ((0, 0, 0, 0), (1, 3, 0, 0), (0, 1, 2, 1))
    return Classification(
        accuracy=figure(accuracy),
        uar=figure(accuracy - 0.01),
        macro_f1=figure(accuracy - 0.02),
        ece=figure(0.1) if ece else None,
        by_class=by_class,
        confusion=confusion,
        n=8,
        no_answer={"no_tag": 1, "missing": 2},
        dropped=0,
    )


def made(model="sft", accuracy=0.625, iou=0.66, labels=LABELS, **changes):
    """The figures of one evaluation."""
    faithfulness = {
        who: {name: figure(value) for name, one in MEASURES.items() if one.count}
        for who, value in {"model": iou, **BASELINES}.items()
    }
    faithfulness["model"]["text_box_agreement"] = None
    fields = {
        "protocol": "made-faces/test",
        "labels": labels,
        "mismatches": (),
        "model": model,
        "faces": Faces(8, 8, 8, 6, 6, {"no face found": 2}),
        "classification": {
            "strict": classification(accuracy, True, labels),
            "ferbench-compat": classification(accuracy + 0.05, False, labels),
        },
        "faithfulness": faithfulness,
        "by_au": (
            AUFigures(6, figure(iou), 8, 7, 6),
            AUFigures(12, figure(iou - 0.1), 8, 8, 8),
            AUFigures(17, None, 0, 2, 0),
        ),
        "counterfactual": {},
        "config": {"data": "eval.parquet", "resamples": 2000},
        "versions": {"tag-rewards": "0.1.0"},
    }
    return Results(**{**fields, **changes})


def of_as_many(results, count):
    """The same results, said to be of as many faces."""
    if results.faces.total == count:
        return results
    k = len(results.labels)
    confusion = [[0] * (k + 1) for _ in range(k)]
    confusion[1][1] = count
    confusion = tuple(map(tuple, confusion))
    return replace(
        results,
        faces=Faces(*[count] * 5, {}),
        classification={
            parser: replace(one, n=count, confusion=confusion)
            for parser, one in results.classification.items()
        },
    )


def write_run(folder):
    """The metrics of a GRPO run of ten steps."""
    folder.mkdir(parents=True)
    lines = [json.dumps({"step": n, "data": {"reward/format/mean": n / 10}}) for n in range(11)]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def write_made(folder, results=None, samples=None, gallery=True):
    """A folder of results; its faces are grey."""
    samples = made_samples() if samples is None else samples
    folder.mkdir(parents=True)
    write_results(folder, of_as_many(results or made(folder.name), len(samples)))
    write_face_rows(folder, samples)
    if gallery:
        order = range(len(samples))
        choices = [
            *(("best", rank, row) for rank, row in enumerate(order[:12], 1)),
            *(("worst", rank, row) for rank, row in enumerate(order[:-13:-1], 1)),
            *(("random", rank, row) for rank, row in enumerate(order[1:25:2], 1)),
        ]
        faces = [
            GalleryFace(kind, rank, image(90 + 9 * (row % 12)), samples[row])
            for kind, rank, row in choices
        ]
        write_gallery(folder, faces)
    return folder
