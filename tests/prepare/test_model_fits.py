"""The size that a model sees: in targets, in what files record, and when a model is given later."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tag_rewards.errors import InputError
from tag_rewards.forms import FORMS
from tag_rewards.geometry import KINDS, BoxSpace, Resizing, au_box, average_face
from tag_rewards.model_images import FAMILIES, FORM_KEY, RELEASED, read_model_images
from tag_rewards.prepare import check_model_fits, read_rl_parquet
from tag_rewards.prepare.face_target import EARLIER_MAX_PIXELS, Canvas, TargetConfig, box_space
from tag_rewards.prepare.model_fits import note_form, recorded_form, recorded_thinking
from tag_rewards.prepare.rows import METADATA_KEY
from tag_rewards.prepare.run import PARQUET_FILES, PrepareConfig, prepare
from tag_rewards.prepare.texts import AUBox, write_trace
from tag_rewards.rewards import score
from tag_rewards.target import AUEvidence, Target
from tests.builders.command import command
from tests.builders.model import RELEASED_QWEN2_5, RELEASED_QWEN3, write_model
from tests.builders.rows import RL, write

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


@pytest.fixture
def qwen2_5(tmp_path):
    return write_model(tmp_path / "Qwen2.5-VL", "qwen2_5_vl", RELEASED_QWEN2_5)


@pytest.fixture
def qwen3(tmp_path):
    return write_model(tmp_path / "Qwen3-VL", "qwen3_vl", RELEASED_QWEN3)


def made(dataset, out, **annotation):
    prepare(dataset.root, dataset.openface, out, PrepareConfig(TargetConfig(**annotation)))
    return out


def recorded(path):
    return json.loads(pq.read_schema(path).metadata[METADATA_KEY.encode()])["config"]


def test_a_canvas_of_1024_is_shown_as_the_processor_shows_it(dataset, tmp_path):
    """The released checkpoints allow 12,845,056 pixels, so 1024 becomes 1036."""
    out = made(dataset, tmp_path / "out", canvas=1024, box_space="resized")
    spaces = {row.target.box_space for row in read_rl_parquet(out / "rl_test.parquet")}
    assert spaces == {BoxSpace.resized("qwen2_5_vl", 1036, 1036)}


def exact_boxes_score(canvas, target_max, shown_max):
    """What a model earns that sees a face at one size, about a target of another: the grounding."""
    face = average_face()
    face = (face - face.min(axis=0)) / np.ptp(face, axis=0) * canvas * 0.5 + canvas * 0.25
    aus = (4, 5, 12, 25)

    def boxes(max_pixels):
        model = replace(RELEASED, resizing=Resizing(max_pixels=max_pixels))
        drawn = Canvas.whole(canvas, canvas, box_space("resized", canvas, canvas, model))
        return drawn.space, [drawn.box(au_box(au, face)) for au in aus]

    space, evidence = boxes(target_max)
    target = Target(
        "fear",
        tuple(AUEvidence(au, 0.9, box) for au, box in zip(aus, evidence, strict=True)),
        space,
    )
    claims = [AUBox(au, box) for au, box in zip(aus, boxes(shown_max)[1], strict=True)]
    text = write_trace("fear", claims, (1, 1, 9, 9), np.random.default_rng(0))
    return score(text, target)["grounding"]


def test_exact_boxes_of_every_canvas_on_the_page():
    """The table: canvas, size before, score before, size now, score now."""
    rows = re.findall(
        r"^\| (\d+) \| (\d+) \| ([\d.]+) \| (\d+) \| ([\d.]+) \|$", PAGE.read_text(), re.M
    )
    assert [int(row[0]) for row in rows] == [512, 640, 768, 896, 1024, 1152, 1280]
    released = RELEASED.resizing.max_pixels
    for canvas, before, score_before, now, score_now in rows:
        side = int(canvas)
        assert Resizing(max_pixels=EARLIER_MAX_PIXELS).size(side, side) == (int(before),) * 2
        assert RELEASED.shown(side, side) == (int(now),) * 2
        assert f"{exact_boxes_score(side, EARLIER_MAX_PIXELS, released):.3f}" == score_before
        assert f"{exact_boxes_score(side, released, released):.3f}" == score_now


def test_the_page_has_every_kind_and_every_family():
    rows = re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|$", PAGE.read_text(), re.MULTILINE)
    families = {kind: re.findall(r"`(\w+)`", cell) for kind, cell in rows if kind in KINDS}
    families["pixels"] = []  # the paper's form, and no family's
    assert families == {
        kind: [name for name, family in FAMILIES.items() if family.box_space == kind]
        for kind in KINDS
    }


def test_the_model_decides_and_every_file_says_what(dataset, qwen2_5, tmp_path):
    out = made(dataset, tmp_path / "out", canvas=100, model=read_model_images(qwen2_5))
    assert {row.target.box_space for row in read_rl_parquet(out / "rl_train.parquet")} == {
        BoxSpace.resized("qwen2_5_vl", 112, 112)
    }
    expected = {
        "family": "qwen2_5_vl",
        "box_space": "resized",
        "form": "qwen2_5_vl",
        "resizing": {"factor": 28, "min_pixels": 3136, "max_pixels": 12845056},
    }
    for name in PARQUET_FILES:
        assert recorded(out / name)["model"] == expected
        assert TargetConfig.from_settings(recorded(out / name)).model == read_model_images(qwen2_5)
    assert (
        json.loads((out / "prepare.json").read_text())["config"]["annotation"]["model"] == expected
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_the_form_is_the_models_own_unless_another_is_asked_for(tmp_path, family):
    images = read_model_images(write_model(tmp_path, family, RELEASED_QWEN2_5))
    assert TargetConfig(model=images).form == images.family_form
    own_space = FORMS[images.form].space
    asked = TargetConfig(model=images, form="tag", box_space=own_space)
    assert (asked.form, asked.box_space) == ("tag", own_space)
    for config in (TargetConfig(model=images), asked):  # of which TAG's is not recorded
        assert TargetConfig.from_settings(json.loads(json.dumps(config.settings()))) == config


def test_a_form_that_is_code_is_not_imported_because_a_model_names_it(tmp_path):
    images = replace(RELEASED, form="tests.no_such_module:FORM")
    with pytest.raises(InputError, match=r"is code, .*; say --form tests\.no_such_mod"):
        TargetConfig(model=images)
    said = TargetConfig(model=images, form="tag_rewards.forms:TAG")
    assert said.space == RELEASED.space(512, 512)


def test_a_model_keeps_the_note_of_its_training(tmp_path):
    folder = write_model(tmp_path / "model", "qwen3_vl", RELEASED_QWEN3)
    before = (folder / "config.json").read_text()
    note_form(folder, "qwen3_vl")  # as its family writes
    assert (folder / "config.json").read_text() == before
    note_form(folder, "tag")
    assert read_model_images(folder).form == "tag"
    transformers = pytest.importorskip("transformers")
    transformers.AutoConfig.from_pretrained(folder).save_pretrained(tmp_path / "again")
    assert json.loads((tmp_path / "again/config.json").read_text())[FORM_KEY] == "tag"
    note_form(folder, "qwen3_vl")
    assert read_model_images(folder).form == "qwen3_vl"


def test_files_for_one_model_are_in_one_form(dataset, tmp_path):
    tags, own = (made(dataset, tmp_path / form, canvas=100, form=form) for form in ("tag", "gemma"))
    plain = tmp_path / "plain.parquet"
    pq.write_table(pq.read_table(own / "sft_train.parquet").replace_schema_metadata(None), plain)
    assert recorded_form([plain]) is None
    assert recorded_form([plain, own / "rl_train.parquet", own / "sft_train.parquet"]) == "gemma"
    files = [tags / "rl_train.parquet", plain, own / "sft_train.parquet"]
    with pytest.raises(InputError, match=r"tag/rl_train.* form tag, but .*gemma/sft_.* gemma"):
        recorded_form(files)


def test_without_a_model_nothing_is_recorded_of_one(dataset, tmp_path):
    out = made(dataset, tmp_path / "out", canvas=100)
    assert "model" not in recorded(out / "rl_train.parquet")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("pixels", "Expected `object`, got `str`"),
        ({"canvas": "512"}, "Expected `int`, got `str` - at `$.canvas`"),
        ({"model": "qwen"}, "Expected `object | null`, got `str` - at `$.model`"),
        ({"canvas": 512, "colour": True}, "'colour' is unknown"),
        ({"top_k": 0}, "top_k is 0, not at least 1"),
    ],
)
def test_settings_that_are_none_are_refused(settings, message):
    with pytest.raises(InputError) as caught:
        TargetConfig.from_settings(settings)
    assert str(caught.value) == f"the settings of targets: {message}"


def test_what_an_earlier_version_recorded_is_read_as_it_was_meant():
    assert TargetConfig.from_settings({"canvas": 1024, "box_space": "resized"}).space.extent == (
        980,
        980,
    )


def test_whether_to_reason_is_in_every_file(dataset, qwen3, tmp_path):
    (qwen3 / "chat_template.jinja").write_text("{{ '<think>' if enable_thinking }}")
    arguments = ["prepare", dataset.root, "--openface", dataset.openface, "--model", qwen3]
    for option, said in (
        (["--no-enable-thinking"], False),
        (["--enable-thinking"], True),
        ([], None),
    ):
        out = tmp_path / str(said)
        assert command(*arguments, *option, "--out", out)[0] == 0
        assert {recorded_thinking(out / name) for name in PARQUET_FILES} == {said}
        config = json.loads((out / "prepare.json").read_text())["config"]
        assert config.get("enable_thinking") is said
        assert ("enable_thinking" in config) == (said is not None)


def test_reasoning_that_the_model_does_not_do_is_refused(dataset, qwen3, tmp_path):
    (qwen3 / "chat_template.jinja").write_text("")
    arguments = ["prepare", dataset.root, "--openface", dataset.openface, "--model", qwen3]
    code, _, err = command(*arguments, "--enable-thinking", "--out", tmp_path / "out")
    assert code == 2
    assert "enable_thinking true contradicts the model's chat template: it has no switch" in err
    assert not (tmp_path / "out").exists()


def test_a_file_that_says_something_else_of_reasoning(dataset, tmp_path):
    out = made(dataset, tmp_path / "out", canvas=100)
    table = pq.read_table(out / "eval.parquet")
    said = json.dumps({"enable_thinking": "yes"})
    table = table.replace_schema_metadata({METADATA_KEY: said})
    pq.write_table(table, tmp_path / "eval.parquet")
    with pytest.raises(InputError, match="enable_thinking 'yes', not true or false"):
        recorded_thinking(tmp_path / "eval.parquet")


@pytest.mark.parametrize("name", ["rl_train", "sft_train", "eval"])
def test_files_in_the_form_of_another_family(dataset, qwen3, tmp_path, name):
    out = made(dataset, tmp_path / "out", canvas=100, form="internvl")
    with pytest.raises(InputError, match=r"parquet.*: form internvl contradicts the model: qwen3"):
        check_model_fits(qwen3, out / f"{name}.parquet")
    own = made(dataset, tmp_path / "own", canvas=100, form="qwen3_vl")
    check_model_fits(qwen3, own / f"{name}.parquet")


@pytest.mark.parametrize("name", ["rl_train", "sft_train", "eval"])
def test_files_that_fit_a_model_and_those_that_do_not(dataset, qwen2_5, qwen3, tmp_path, name):
    images = read_model_images(qwen2_5)
    fits = made(dataset, tmp_path / "fits", canvas=100, model=images, form="tag")
    sentence = check_model_fits(qwen2_5, fits / f"{name}.parquet", verl=True)
    assert sentence.endswith(
        f"has boxes in pixels of 112x112, as {qwen2_5} (qwen2_5_vl) writes them"
    )
    pattern = (
        r"boxes are in pixels of 112x112 \(resized\), but .*Qwen3-VL \(qwen3_vl\) writes them in "
        r"thousandths .* \(normalized_1000\) about an image of 100x100; write the data with"
    )
    with pytest.raises(InputError, match=pattern):
        check_model_fits(qwen3, fits / f"{name}.parquet")
    other = made(dataset, tmp_path / "other", canvas=100, box_space="pixels")
    with pytest.raises(InputError, match=r"pixels of 100x100 \(pixels\), but .* pixels of 112x112"):
        check_model_fits(qwen2_5, other / f"{name}.parquet")


def test_limits_that_an_engine_is_given_count(dataset, qwen2_5, tmp_path):
    out = made(dataset, tmp_path / "out", canvas=1024, box_space="resized")
    check_model_fits(qwen2_5, out / "eval.parquet")
    with pytest.raises(InputError, match=r"pixels of 1036x1036 .* pixels of 616x616"):
        check_model_fits(qwen2_5, out / "eval.parquet", {"max_pixels": 401408})


def test_each_row_is_looked_at(qwen2_5, tmp_path):
    good = replace(RL, target=replace(RL.target, box_space=BoxSpace.pixels(112, 112)))
    bad = replace(good, target=replace(RL.target, box_space=BoxSpace.normalized_1000()))
    path = write(tmp_path / "rl.parquet", [good, good, bad])
    with pytest.raises(InputError, match=r"rl.parquet: row 2: boxes are in thousandths"):
        check_model_fits(qwen2_5, path)


def test_what_cannot_be_compared_is_said(dataset, qwen2_5, tmp_path):
    out = made(dataset, tmp_path / "out", canvas=100)
    unknown = write_model(tmp_path / "new", "unheard_of")
    assert "not compared with" in check_model_fits(unknown, out / "eval.parquet")
    bare = pq.read_table(out / "sft_train.parquet").replace_schema_metadata(None)
    pq.write_table(bare, tmp_path / "sft.parquet")
    assert "says not in which coordinates" in check_model_fits(qwen2_5, tmp_path / "sft.parquet")


@pytest.mark.parametrize(
    ("family", "options", "sentence"),
    [
        ("qwen3_vl", [], "qwen3_vl writes boxes in thousandths of the image's width and height"),
        (
            "qwen2_5_vl",
            ["--max-pixels", "12845056"],
            "qwen2_5_vl writes boxes in pixels of 112x112 (form qwen2_5_vl): it sees an image of "
            "100x100 at 112x112 (multiples of 28, 3,136 to 12,845,056 pixels)",
        ),
        (
            None,
            ["--box-space", "resized"],
            "Assumed, as the checkpoints are released: qwen2_5_vl writes boxes in pixels of 112",
        ),
        (None, ["--min-pixels", "50176"], "qwen2_5_vl writes boxes in pixels of 224x224"),
        ("unheard_of", [], "assumed that it writes boxes in thousandths"),
        ("unheard_of", ["--box-space", "pixels"], ""),
        ("paligemma", [], "paligemma writes boxes in 1024ths of the image's width and height"),
    ],
)
def test_what_prepare_says_of_the_model(dataset, tmp_path, family, options, sentence):
    if family:
        model = write_model(tmp_path / "model", family, RELEASED_QWEN2_5)
        options = [*options, "--model", model]
    arguments = ["prepare", dataset.root, "--openface", dataset.openface, "--canvas", "100"]
    code, out, err = command(*arguments, "--out", tmp_path / "out", *options, columns=400)
    assert (code, err) == (0, "")
    assert sentence in out
    assert ("writes boxes" in out) == bool(sentence)


@pytest.mark.parametrize(
    ("family", "options", "sentence"),
    [
        (
            "qwen3_vl",
            ["--box-space", "pixels"],
            "box space pixels (pixels of 512x512) contradicts the model: qwen3_vl writes "
            "normalized_1000 (thousandths of the image's width and height); leave out --box-space",
        ),
        (
            "qwen2_5_vl",
            ["--box-space", "normalized_1000"],
            "contradicts the model: qwen2_5_vl writes resized (pixels of 504x504)",
        ),
        ("qwen2_5_vl", ["--max-pixels", "401408"], "has 12845056; leave out --max-pixels"),
        (None, ["--max-pixels", "9"], "max_pixels is 9, which is below min_pixels 3136"),
        (None, ["--max-pixels", "99999", "--box-space", "pixels"], "contradicts the model"),
        ("qwen2_5_vl", ["--canvas", "8"], "canvas is 8 pixels"),
        (
            "qwen3_vl",
            ["--form", "gemma"],
            "form gemma contradicts the model: qwen3_vl writes qwen3",
        ),
    ],
)
def test_what_contradicts_the_model_is_refused(dataset, tmp_path, family, options, sentence):
    if family:
        model = write_model(tmp_path / "model", family, RELEASED_QWEN2_5)
        options = [*options, "--model", model]
    arguments = ["prepare", dataset.root, "--openface", dataset.openface]
    code, _, err = command(*arguments, "--out", tmp_path / "out", *options)
    assert code == 2
    assert sentence in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
