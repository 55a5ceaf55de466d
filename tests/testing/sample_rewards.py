"""Reward functions to try the battery on: a good one, and bad ones that break one promise each."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from functools import lru_cache
from itertools import count
from threading import Lock

from tag_rewards.rewards import score
from tag_rewards.target import Target
from tag_rewards.testing.traces import honest_text


@lru_cache
def _honest_lines(ground_truth):
    return honest_text(Target.from_json(ground_truth)).splitlines()


def good(completion, ground_truth):
    """The share of the honest lines up to the first line that differs; nothing for more lines."""
    honest = _honest_lines(ground_truth)
    lines = (completion or "")[:10_000].splitlines()
    if len(lines) > len(honest):
        return 0.0
    right = next((k for k, line in enumerate(lines) if line != honest[k]), len(lines))
    return right / len(honest)


def good_with_parts(completion, ground_truth):
    return {"score": good(completion, ground_truth), "length": len(completion or "")}


def raises_on_none(completion, ground_truth):
    return good(completion.strip(), ground_truth)


def raises_on_huge_numbers(completion, ground_truth):
    for number in re.findall("[0-9]{1,6000}", completion or ""):
        int(number)
    return good(completion, ground_truth)


def ends_the_process(completion, ground_truth):
    if completion and "\0" in completion:
        os._exit(7)
    return good(completion, ground_truth)


def too_large(completion, ground_truth):
    return 2 * good(completion, ground_truth)


def not_finite(completion, ground_truth):
    reward = good(completion, ground_truth)
    return {"score": reward, "x": float("nan") if "nan" in (completion or "") else 1.0}


def no_number(completion, ground_truth):
    return None if completion is None else good(completion, ground_truth)


def keys_come_and_go(completion, ground_truth):
    scores = {"score": good(completion, ground_truth)}
    if "<bbox>" in (completion or ""):
        scores["boxes"] = 1.0
    return scores


def mapping_or_number(completion, ground_truth):
    reward = good(completion, ground_truth)
    return {"score": reward} if completion else reward


def random_reward(completion, ground_truth):
    return 0.9 * good(completion, ground_truth) + 0.01 * random.random()


_NUMBER = 0
_calls = count()


def remembers(completion, ground_truth):
    return 0.9 * good(completion, ground_truth) + 0.1 / (1 + next(_calls))


def depends_on_the_hash_seed(completion, ground_truth):
    first, *_ = set("abcdefghijklmnopqrstuvwxyz" + (completion or ""))
    return 0.9 * good(completion, ground_truth) + 1e-9 * ord(first)


class LosesItsState:
    def __init__(self, weight):
        self.weight = weight

    def __reduce__(self):
        return LosesItsState, (0.5,)

    def __call__(self, completion, ground_truth):
        return self.weight * good(completion, ground_truth)


loses_its_state = LosesItsState(1.0)


unpicklable = lambda completion, ground_truth: good(completion, ground_truth)  # noqa: E731


class _Shared:
    completion: str | None = None


def shares_state(completion, ground_truth):
    _Shared.completion = completion
    time.sleep(1e-5)
    return good(_Shared.completion, ground_truth)


def _too_late(*_):
    raise TimeoutError


def times_out_by_signal(completion, ground_truth):
    try:
        signal.signal(signal.SIGALRM, _too_late)
        signal.alarm(5)
        return good(completion, ground_truth)
    except Exception:
        return 0.0
    finally:
        signal.alarm(0)


_busy = Lock()


def waits_for_another_thread(completion, ground_truth):
    if not _busy.acquire(blocking=False):
        time.sleep(60)
    time.sleep(1e-5)
    _busy.release()
    return good(completion, ground_truth)


def substring_of_the_label(completion, ground_truth):
    found = re.search("<answer>([^<]*)</answer>", (completion or "")[:10_000])
    label = json.loads(ground_truth)["label"]
    return float(found is not None and found[1].strip() in label)


def constant(completion, ground_truth):
    return 0.5


def rescans(completion, ground_truth):
    """`.*?` runs to the end of the text from each `<answer>`."""
    re.search("<answer>(.*?)</answer>", completion or "", re.DOTALL)
    return good(completion, ground_truth)


def backtracks(completion, ground_truth):
    re.search(r"<answer>(\s*\w+\s*)+</answer>", completion or "")
    return good(completion, ground_truth)


def waits(completion, ground_truth):
    if completion == "":
        time.sleep(60)
    return good(completion, ground_truth)


def never_answers(completion, ground_truth):
    time.sleep(600)


def breaks_several(completion, ground_truth):
    return 2.0 if "</answer>" in completion else 0.0


def fails_on_a_letter_in_brackets(completion, ground_truth):
    if re.search(r"\[[^0-9\[]", completion or ""):
        raise ValueError("no number")
    return good(completion, ground_truth)


def overall(completion, ground_truth):
    return {"overall": 2 * good(completion, ground_truth) - 1}


def batch(completions, ground_truths):
    return [good(*pair) for pair in zip(completions, ground_truths, strict=True)]


def our_score(completion, ground_truth):
    return score(completion, Target.from_json(ground_truth))


def our_accuracy(completion, ground_truth):
    return our_score(completion, ground_truth)["accuracy"]
