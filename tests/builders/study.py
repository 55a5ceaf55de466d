"""A study of two models on made faces, and the answers of its raters."""

import json

from tag_rewards.preference.ratings import Ratings
from tag_rewards.preference.study import StudyConfig, make_study
from tests.builders.completions import MOUTH, trace, write_faces

MODELS = ("runs/sft/hf", "runs/grpo/hf")


def write_completions(path, model, texts):
    lines = [
        json.dumps({"id": f"face_{index:04}", "completion": text, "model": model})
        for index, text in enumerate(texts)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def two_models(folder, count=6, texts=None):
    """Completions of two models, and the data: the second model sees the mouth."""
    off = [(2 + index, 2, 20 + index, 16) for index in range(count)]
    first, second = texts or (
        [trace("happiness", [box]) for box in off],
        [trace("happiness", [MOUTH])] * count,
    )
    return (
        write_completions(folder / "sft.jsonl", MODELS[0], first),
        write_completions(folder / "grpo.jsonl", MODELS[1], second),
        write_faces(folder / "eval.parquet", count),
    )


def study(folder, count=6, pairs=4, checks=2, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    first, second, data = two_models(folder, count)
    return make_study(first, second, data, folder / "study.html", StudyConfig(pairs, checks, seed))


def choosing(key, model, attentive=True):
    """A choice of one of the key's models, or of neither, for every pair."""
    answers = {}
    for name, item in key.items.items():
        if item.right is not None:
            answers[name] = item.right if attentive else "tie"
        elif model is None:
            answers[name] = "tie"
        else:
            answers[name] = "first" if item.first == model else "second"
    return answers


def write_ratings(folder, key, rater, answers, **fields):
    path = folder / f"ratings-{rater}.json"
    path.write_text(json.dumps({"version": 1, "study": key.study, "rater": rater,
                                "answers": answers, **fields}))  # fmt: skip
    return path


def all_for(folder, key, rater, model, attentive=True, **fields):
    """The file of a rater who always prefers one model."""
    return write_ratings(folder, key, rater, choosing(key, model, attentive), **fields)


def ratings_of(text):
    return Ratings(**json.loads(text))
