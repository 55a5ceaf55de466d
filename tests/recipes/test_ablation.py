"""run_ablation.sh: its arms, its faces, what it measures, its table; and what it does again."""

import csv
import doctest
import importlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import t as student

from recipes.ablation.arms import ARMS, Seconds, Size, estimate, plan, runs
from tag_rewards.datasets.made_faces import make_face
from tag_rewards.rewards import PRIOR_FORMULAS, RewardConfig
from tests.recipes.conftest import RECIPES

SIZE = Size(n_train=32, sft_epochs=1, steps=2, rollouts=8, faces=16)


@pytest.mark.parametrize("name", ["arms", "boxless", "faces", "table"])
def test_examples(name):
    found = doctest.testmod(importlib.import_module(f"recipes.ablation.{name}"))
    assert found.attempted
    assert not found.failed


# --- arms --------------------------------------------------------------------------------------

#: The weights of format, accuracy, grounding and consistency of arms that change them.
WEIGHTS = {
    "format_accuracy": (0.2, 0.3, 0, 0),
    "consistency": (0.2, 0.3, 0.5, 0.2),
    "boxless": (0, 1, 0, 0),
}


@pytest.mark.stack
@pytest.mark.parametrize("name", [name for name, arm in ARMS.items() if arm.trained])
def test_verl_and_the_reward_accept_an_arm(composed, tmp_path, name):
    pytest.importorskip("verl")
    from verl.utils.config import validate_config

    from tag_rewards.integrations.verl.settings import check_reward

    arm = ARMS[name]
    behind = ("data.seed=3", f"trainer.rollout_data_dir={tmp_path}/rollouts", *arm.overrides)
    base = RECIPES / "tiny_vlm/base"
    given = {"OUT": tmp_path, "MODEL": base, "SFT": 0, "STEPS": 1}
    given |= {"TRAIN_BATCH": 4, "MINI_BATCH": 4, "ROLLOUT_N": 2}
    config = composed("run_tag_grpo.sh", *behind, **given, **arm.settings)
    validate_config(config, use_reference_policy=True, use_critic=False)
    check_reward(config)
    reward = RewardConfig.from_options(dict(config.reward.custom_reward_function.reward_kwargs))
    told = (reward.format_weight, reward.accuracy_weight, reward.grounding_weight)
    assert (*told, reward.consistency_weight) == WEIGHTS.get(name, (0.2, 0.3, 0.5, 0))
    assert reward.grounding.formula == name.removeprefix("formula_") or name in WEIGHTS.keys() | {
        *("grounding", "soft", "aligned_never", "aligned_always")
    }
    assert reward.grounding.unsure == ("soft" if name == "soft" else "ignored")
    assert (config.data.seed, config.trainer.total_training_steps) == (3, 1)


def test_every_formula_has_an_arm():
    assert {name for name in ARMS if name.startswith("formula_")} == {
        f"formula_{name}" for name in PRIOR_FORMULAS
    }


def test_all_arms_come_with_one_seed_before_the_next():
    found = list(runs(["sft", "grounding", "soft"], 2))
    assert found == [
        *(("sft", 0), ("grounding", 0), ("soft", 0)),
        *(("grounding", 1), ("soft", 1)),
    ]


def test_the_plan_leaves_out_what_is_done_and_learns_from_it(tmp_path):
    names = ["sft", "grounding"]

    def minutes():
        told = plan(tmp_path, names, 2, SIZE)
        return told, float(told.splitlines()[-1].split()[1])

    told, first = minutes()
    assert "grounding                    and grounding: the default     2 runs, 0 done" in told
    (tmp_path / "runs/grounding/seed0").mkdir(parents=True)
    (tmp_path / "runs/grounding/seed0/result.json").write_text("{}")
    told, second = minutes()
    assert "2 runs, 1 done" in told
    assert second < first
    notes = [{"stage": "run", "seconds": seconds} for seconds in (6000, 60, 6000)]
    (tmp_path / "timings.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in notes))
    assert 100 <= minutes()[1] <= 110
    assert estimate(SIZE, [Seconds("evaluation", 5.0)])["evaluation"] == 5.0


# --- faces -------------------------------------------------------------------------------------


def test_sets_show_the_same_faces_in_other_pictures():
    from recipes.ablation.faces import SETS

    for seed in range(4):
        faces = {name: draw(np.random.default_rng(seed)) for name, draw in SETS.items()}
        drawn = faces.pop("drawn")
        np.testing.assert_array_equal(
            drawn.image, make_face(np.random.default_rng(seed), drawn.image.shape[0]).image
        )
        for name, face in faces.items():
            assert face.image.shape == drawn.image.shape
            assert not np.array_equal(face.image, drawn.image), name
        for name in ("blur", "occlusion", "low_light", "jpeg"):
            np.testing.assert_array_equal(faces[name].landmarks, drawn.landmarks)
            assert faces[name].intensities == drawn.intensities
        changed = (faces["occlusion"].image != drawn.image).any(axis=2).mean()
        assert 0.03 < changed <= 0.3**2 + 0.01
        assert faces["low_light"].image.mean() < 0.6 * drawn.image.mean()
        assert np.ptp(faces["identity"].landmarks, axis=0).min() < np.ptp(drawn.landmarks, 0).min()
        # No training face has two of the AUs that go with any expression.
        assert len({10, 14, 17, 25} & set(faces["combination"].intensities)) >= 2


def test_the_faces_of_a_set_can_be_told_by_their_names(tmp_path):
    from recipes.ablation.faces import SETS, set_of, write_evaluation

    write_evaluation(tmp_path, 2)
    names = [path.stem.removesuffix("_aligned") for path in tmp_path.glob("Image/aligned/*")]
    assert sorted(map(set_of, names)) == sorted([*SETS, *SETS])


def test_without_boxes_a_trace_keeps_its_words(sft_parquet, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    from recipes.ablation.boxless import take_boxes_out

    take_boxes_out(sft_parquet, tmp_path)
    for name in ("sft_train.parquet", "sft_test.parquet"):
        before, after = (pq.read_table(folder / name) for folder in (sft_parquet, tmp_path))
        assert before.schema == after.schema
        assert before["images"] == after["images"]
        first, then = (table["messages"].to_pylist()[3][1]["content"] for table in (before, after))
        assert then == first.replace(" → <bbox>[23,60,63,80]</bbox>", "")
        assert "bbox" in first
        assert "bbox" not in then


# --- what is measured --------------------------------------------------------------------------


def test_reward_varies_within_groups(tmp_path):
    from recipes.ablation.measure import reward_variance

    assert reward_variance([]) is None
    steps = [[("a", 0.0), ("a", 1.0), ("b", 5.0), ("b", 5.0)], [("a", 0.0), ("a", 0.4)]]
    paths = []
    for step, rollouts in enumerate(steps):
        paths.append(tmp_path / f"{step}.jsonl")
        lines = [json.dumps({"gts": gts, "score": score}) for gts, score in rollouts]
        paths[-1].write_text("\n".join(lines) + "\n")
    assert reward_variance(paths) == pytest.approx((0.25 + 0 + 0.04) / 3)


# --- the table ---------------------------------------------------------------------------------


def record(out, arm, seed, **drawn):
    """A run that measured this on the faces as drawn, and nothing on the others."""
    from recipes.ablation.faces import SETS
    from recipes.ablation.measure import MEASURES

    nothing = dict.fromkeys(MEASURES)
    folder = out / "runs" / arm / f"seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    result = {name: dict(nothing) for name in SETS}
    result["drawn"] |= drawn
    (folder / "result.json").write_text(json.dumps(result))


@pytest.fixture
def recorded(tmp_path):
    (tmp_path / "settings.txt").write_text("STEPS=2\nN_TRAIN=32\n")
    record(tmp_path, "sft", 0, accuracy=0.5, mean_iou=0.4, score=0.6)
    for seed, (iou, score) in enumerate([(0.5, 0.7), (0.6, 0.9), (0.7, 0.8)]):
        record(tmp_path, "grounding", seed, accuracy=0.5, mean_iou=iou, score=score, within=0.01)
    (tmp_path / "runs/consistency/seed0").mkdir(parents=True)  # begun, not finished
    return tmp_path


def test_the_table_says_what_was_recorded(recorded):
    from recipes.ablation.table import write_table

    write_table(recorded)
    with (recorded / "ablation.csv").open() as file:
        rows = {(row["set"], row["arm"], row["measure"]): row for row in csv.DictReader(file)}
    assert {arm for _, arm, _ in rows} == {"sft", "grounding"}
    iou = rows["drawn", "grounding", "mean_iou"]
    low, high = student.interval(0.95, 2, 0.6, 0.1 / 3**0.5)
    assert iou["seeds"] == "3"
    assert [float(iou[name]) for name in ("mean", "low", "high")] == pytest.approx(
        [0.6, low, high], abs=1e-6
    )
    one = rows["drawn", "sft", "mean_iou"]
    assert (one["seeds"], float(one["mean"]), one["low"]) == ("1", 0.4, "")
    assert float(rows["drawn", "grounding", "across"]["mean"]) == pytest.approx(0.01)
    assert rows["drawn", "sft", "across"]["mean"] == rows["blur", "sft", "mean_iou"]["mean"] == ""
    text = (recorded / "ablation.md").read_text()
    assert "| sft | 1 | 0.500 | - | 0.400 |" in text
    assert f"| grounding | 3 | 0.500 ± 0.000 | - | 0.600 ± {0.6 - low:.3f} |" in text
    assert "STEPS=2, N_TRAIN=32" in text
    for name in ("arms.png", "shifts.png"):
        assert (recorded / name).read_bytes().startswith(b"\x89PNG")


def test_points_and_whiskers_are_those_of_the_table(recorded):
    from recipes.ablation.measure import MEASURES
    from recipes.ablation.table import draw_arms, read_table

    table = read_table(recorded)
    drawing = draw_arms(table)
    panel = drawing.axes[list(MEASURES).index("mean_iou")]
    [container] = panel.containers
    points, _, [whiskers] = container
    assert points.get_xdata() == pytest.approx([0.4, 0.6])
    half = table["drawn"]["grounding"]["mean_iou"].half
    assert whiskers.get_segments()[1][:, 0] == pytest.approx([0.6 - half, 0.6 + half])


# --- the script --------------------------------------------------------------------------------


def test_help_lists_the_settings(recipe):
    run = recipe("run_ablation.sh", "--help")
    assert run.returncode == 0
    assert all(name in run.stdout for name in ("ARMS", "SEEDS", "FACES", "QUICK", "PLAN"))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"ARMS": "sft nothing"}, "ARMS: nothing is none of sft format_accuracy grounding"),
        ({"SEEDS": "many"}, "SEEDS=many: must be a whole number above 0"),
        ({"FACES": "0"}, "FACES=0: must be a whole number above 0"),
    ],
)
def test_senseless_settings_end_at_once(recipe, tmp_path, settings, sentence):
    run = recipe("run_ablation.sh", OUT=tmp_path / "out", **settings)
    assert run.returncode != 0
    assert sentence in run.stderr
    assert len(run.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_quick_plan_is_of_less_than_a_quarter_of_an_hour(recipe, tmp_path):
    run = recipe("run_ablation.sh", OUT=tmp_path / "out", QUICK=1, PLAN=1)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout.splitlines()[-1].split()[1]) <= 15
    assert not (tmp_path / "out").exists()


@pytest.fixture
def with_sft(tmp_path):
    """A folder of an ablation with its model after SFT: the embedded base."""
    (tmp_path / "out/sft").mkdir(parents=True)
    (tmp_path / "out/sft/hf").symlink_to(RECIPES / "tiny_vlm/base")
    return tmp_path / "out"


TINY = {"ARMS": "sft", "N_TRAIN": 4, "FACES": 1, "STEPS": 1, "SEEDS": 1}


@pytest.mark.stack
def test_a_model_is_asked_measured_and_put_into_the_table_once(recipe, with_sft):
    """The real thing: faces, vLLM, both questions, measures; given again, it asks nobody."""
    pytest.importorskip("vllm")
    first = recipe("run_ablation.sh", OUT=with_sft, **TINY)
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    result = json.loads((with_sft / "runs/sft/seed0/result.json").read_text())
    assert result["drawn"]["accuracy"] in (0, 1)
    assert all(0 <= of_set["mean_iou"] <= 1 for of_set in result.values())
    assert any(of_set["slope"] is not None for of_set in result.values())
    text = (with_sft / "ablation.md").read_text()
    assert f"| sft | 1 | {result['drawn']['accuracy']:.3f} |" in text
    again = recipe("run_ablation.sh", OUT=with_sft, timeout=100, **TINY)
    assert again.returncode == 0
    assert "==" not in again.stdout
    assert "1 runs, 1 done" in again.stdout
    assert (with_sft / "ablation.md").read_text() == text
    other = recipe("run_ablation.sh", OUT=with_sft, **(TINY | {"FACES": 2}))
    assert "holds a run with other settings (< FACES=1 > FACES=2 )" in other.stderr


@pytest.mark.parametrize(
    ("arm", "told", "prepared"),
    [
        ("soft", {"UNSURE": "present"}, {"unsure": "present"}),
        ("aligned_always", {"PLACEMENT": "always"}, {"placement": True}),
        ("boxless", {"ACCURACY_WEIGHT": "1"}, {"placement": None}),
    ],
)
def test_a_run_is_given_its_model_its_data_and_its_reward(tmp_path, arm, told, prepared):
    """The real script up to GRPO, which here notes what it is given, and fails as it may."""
    repo, out = tmp_path / "repo", tmp_path / "out"
    shutil.copytree(RECIPES, repo / "recipes", ignore=shutil.ignore_patterns("__pycache__"))
    (repo / "recipes/run_tag_grpo.sh").write_text('env >"$OUT/env"; echo "$@" >"$OUT/told"; exit 3')
    for start in ("sft", "boxless"):
        (out / start / "sft").mkdir(parents=True)
        (out / start / "sft/hf").symlink_to(RECIPES / "tiny_vlm/base")
    settings = {"OUT": out, "ARMS": arm, "N_TRAIN": 40, "FACES": 1, "STEPS": 1, "SEEDS": 2}
    environment = os.environ | {"VENV": sys.prefix, "TAG_SETUP": "0", "TAG_DEVICE": "gpu"}
    environment["PYTHONPATH"] = str(RECIPES.parent)
    run = subprocess.run(
        ["bash", str(repo / "recipes/run_ablation.sh")],
        env=environment | {name: str(value) for name, value in settings.items()},
        **{"capture_output": True, "text": True, "timeout": 300},
    )
    assert run.returncode == 3, run.stderr
    folder = out / "runs" / arm / "seed0"
    assert not (folder / "result.json").exists()
    given = dict(line.partition("=")[::2] for line in (folder / "env").read_text().splitlines())
    start = ARMS[arm].start
    assert given["MODEL"] == f"{out}/{start}/sft/hf"
    assert (given["SFT"], given["TAG_DEVICE"], given["STEPS"]) == ("0", "cpu", "1")
    assert told.items() <= given.items()
    assert ("DATA" in given) == arm.startswith("aligned")
    overrides = (folder / "told").read_text().split()
    rollouts = f"trainer.rollout_data_dir={folder}/rollouts"
    assert overrides == ["data.seed=0", rollouts, *ARMS[arm].overrides]
    record = json.loads((folder / "data/prepare.json").read_text())["config"]
    for name, value in prepared.items():
        if name == "unsure":
            assert record["annotation"]["unsure"] == value
        else:
            assert bool(record.get("placement")) == bool(value)
