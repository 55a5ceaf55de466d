"""A build asks, verifies, records, and asks again, until every sample is settled."""

import json
import shutil
from collections import Counter, defaultdict
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise

import pytest

from tag_rewards.detectors.registry import make_detector
from tag_rewards.engines.base import Reply
from tag_rewards.errors import InputError
from tag_rewards.evidence.run import annotate
from tag_rewards.prepare.face_target import TargetConfig
from tag_rewards.traces.config import require_same_build
from tag_rewards.traces.ledger import read_ledger
from tag_rewards.traces.prompts import PolicyConfig, attempt_seed, load_prompt
from tag_rewards.traces.verifier import VerifyConfig
from tests.builders.writer import FakeEngine, fake_trace


def histories(build):
    found = defaultdict(list)
    for attempt, verdict in build.rows():
        found[attempt.sample].append((attempt, verdict))
    return found


def test_every_sample_ends_with_a_trace_or_a_reason(build):
    counts = build.run()
    found = histories(build)
    assert len(found) == counts.samples == 40
    reasons = Counter(verdict.reason for rows in found.values() for _, verdict in rows)
    assert reasons.keys() >= {"accepted", "wrong_label", "format", "ungrounded", "truncated"}
    for rows in found.values():
        assert [attempt.number for attempt, _ in rows] == list(range(1, len(rows) + 1))
        assert not any(verdict.accepted for _, verdict in rows[:-1])
    assert counts.accepted == sum(rows[-1][1].accepted for rows in found.values()) > 20


def test_a_wrong_label_leaves_the_candidates(build):
    build.run()
    eliminated = 0
    for rows in histories(build).values():
        wrong = set()
        for attempt, verdict in rows:
            assert wrong.isdisjoint(attempt.candidates)
            assert len(wrong) + len(attempt.candidates) == 7
            assert f"Candidates: {', '.join(attempt.candidates)}." in attempt.prompt
            if verdict.reason == "wrong_label":
                wrong.add(verdict.answer)
        eliminated += len(wrong)
    assert eliminated > 5


def test_mistakes_are_told_back(build):
    build.run()
    told = 0
    for rows in histories(build).values():
        for (_, before), (attempt, _) in pairwise(rows):
            if before.reason in ("format", "truncated", "ungrounded"):
                told += 1
                for line in before.details.split("\n"):
                    assert f"\n- {line}\n" in attempt.prompt
            elif before.reason == "wrong_label":
                assert before.details not in attempt.prompt
    assert told > 5


def test_an_attempt_has_a_seed_and_a_temperature_of_its_own(build):
    engine = FakeEngine()
    build.run(engine, seed=3, policy=PolicyConfig(temperatures=(0.2, 0.5)))
    rows = [attempt for attempt, _ in build.rows()]
    assert len({attempt.seed for attempt in rows}) == len(rows)
    for attempt in rows:
        assert attempt.seed == attempt_seed(3, attempt.sample, attempt.number)
        assert attempt.temperature == (0.2 if attempt.number == 1 else 0.5)
    assert {(row.seed, row.temperature) for row in engine.requests} == {
        (row.seed, row.temperature) for row in rows
    }


def test_what_is_recorded_is_never_asked_again_and_no_engine_starts_for_nothing(build):
    build.run()
    before, engine = build.rows(), FakeEngine()
    build.run(engine)
    assert (engine.requests, engine.entered) == ([], 0)
    assert build.rows() == before


def test_a_limit_asks_about_some_and_the_build_goes_on_with_the_rest(build):
    assert build.run(limit=5).samples == 5
    first = {attempt.sample for attempt, _ in build.rows()}
    before = build.rows()
    assert build.run().samples == 40
    assert len(first) == 5
    assert [row for row in build.rows() if row[0].sample in first] == before


def test_another_seed_is_another_build(build):
    build.run()
    with pytest.raises(InputError, match="holds a build of seed 0, not 1; give another --out"):
        build.run(seed=1)
    with pytest.raises(InputError, match="holds a build of mode 'blind', not 'rationalised'"):
        build.run(mode="rationalised")


@pytest.mark.parametrize(("canvas", "same"), [(512, True), (1024, False)])
def test_a_build_of_an_earlier_version_goes_on_where_its_boxes_are_the_same(build, canvas, same):
    """Up to 0.1 `resized` was 980 of a canvas of 1024, and the record said nothing of limits."""
    data = replace(build.config.data, annotation=TargetConfig(canvas, "resized"))
    record = replace(build.config, data=data).to_record((), load_prompt("blind"))
    earlier = {name: value for name, value in record["annotation"].items() if name != "model"}
    build.out.mkdir(exist_ok=True)
    (build.out / "build.json").write_text(json.dumps(record | {"annotation": earlier}))
    with nullcontext() if same else pytest.raises(InputError, match="holds a build of annotation"):
        require_same_build(build.out, record)


def test_a_stricter_verifier_judges_again_and_asks_for_what_is_missing_then(build):
    build.run(verify=VerifyConfig(min_grounding=0.0))
    before = {(attempt.sample, attempt.number): attempt for attempt, _ in build.rows()}
    engine = FakeEngine()
    build.run(engine, verify=VerifyConfig(min_grounding=0.9))
    after = histories(build)
    asked = {(request.key, request.seed) for request in engine.requests}
    assert engine.requests
    for sample, rows in after.items():
        for attempt, verdict in rows:
            old = before.get((sample, attempt.number))
            assert old == attempt or (sample, attempt.seed) in asked
            if verdict.accepted and not verdict.scores["abstained"]:
                assert verdict.scores["grounding"] >= 0.9
    with read_ledger(build.path) as ledger:
        loose = VerifyConfig(min_grounding=0.0).hash
        assert [row for row, _ in ledger.judged(loose)] != []


def test_a_laxer_verifier_asks_nothing(build):
    build.run(verify=VerifyConfig(min_grounding=0.9))
    engine = FakeEngine()
    more = build.run(engine, verify=VerifyConfig(min_grounding=0.0))
    assert engine.requests == []
    assert more.reasons.get("ungrounded", 0) == 0


def test_more_retries_go_on_where_it_was_given_up(build):
    few = build.run(policy=PolicyConfig(0, 0, 0))
    before = build.rows()
    assert few.attempts == 40
    build.run(policy=PolicyConfig())
    after = build.rows()
    assert [row for row in after if row[0].number == 1] == before
    undisturbed = replace(build.config)
    shutil.rmtree(build.out)
    build.config = undisturbed
    build.run()
    assert build.rows() == after


@pytest.fixture
def copied(made_faces, build, tmp_path):
    """The same build on a copy of the faces, which may be broken."""
    faces = tmp_path / "faces"
    shutil.copytree(made_faces, faces)
    build.config = replace(
        build.config,
        data=replace(build.config.data, dataset=faces, openface=faces / "openface"),
    )
    build.faces = faces
    return build


def test_blind_prompts_do_not_depend_on_the_labels(copied):
    def prompts():
        shutil.rmtree(copied.out, ignore_errors=True)
        copied.run(policy=PolicyConfig(0, 0, 0))
        return {attempt.sample: attempt.prompt for attempt, _ in copied.rows()}

    before = prompts()
    labels = copied.faces / "EmoLabel" / "list_patition_label.txt"
    lines = [line.split() for line in labels.read_text().splitlines()]
    labels.write_text("".join(f"{name} {int(number) % 7 + 1}\n" for name, number in lines))
    assert prompts() == before


def test_rationalised_prompts_show_the_label_and_rows_say_so(build):
    def write(prompt, seed):
        label = prompt.partition("This face shows ")[2].partition(".")[0]
        return fake_trace(f"{prompt}\nCandidates: {label}.", seed)

    counts = build.run(FakeEngine(write), mode="rationalised")
    assert {attempt.mode for attempt, _ in build.rows()} == {"rationalised"}
    assert counts.reasons.get("wrong_label", 0) == 0
    assert counts.accepted > 30


def test_faces_without_evidence_are_left_out_with_a_reason(copied):
    for csv in sorted((copied.faces / "openface").glob("*.csv"))[:3]:
        csv.unlink()
    counts = copied.run()
    assert counts.left_out == {"no_evidence": 3}
    assert counts.samples == 37
    assert set(copied.left_out().values()) == {
        ("no_evidence", "no OpenFace CSV: no face found, or OpenFace was not run on it")
    }


def image(build, name):
    return build.faces / "Image" / "aligned" / f"{name}_aligned.jpg"


class Breaking(FakeEngine):
    """Breaks something after the first answer."""

    def __init__(self, breaks):
        super().__init__(lambda prompt, seed: ("no trace", "stop"))
        self.breaks = breaks

    def generate(self, requests):
        for reply in super().generate(requests):
            yield reply
            self.breaks()


def test_an_image_that_vanishes_or_changes_is_left_out_and_the_others_go_on(copied):
    def break_images():
        image(copied, "train_00002").unlink(missing_ok=True)
        image(copied, "train_00003").write_bytes(image(copied, "train_00004").read_bytes())
        image(copied, "test_0009").write_bytes(b"no image")

    counts = copied.run(Breaking(break_images))
    left_out = copied.left_out()
    assert counts.left_out == {"image_changed": 1, "image_missing": 1, "image_unreadable": 1}
    assert left_out["train_00002"][0] == "image_missing"
    assert left_out["train_00003"][0] == "image_changed"
    assert left_out["test_0009"][0] == "image_unreadable"
    tries = Counter(attempt.sample for attempt, _ in copied.rows())
    assert tries.pop("train_00002") == tries.pop("train_00003") == 1
    assert set(tries.values()) == {4}


def test_an_image_that_comes_back_is_asked_about_again(copied):
    path = image(copied, "train_00003")
    before = path.read_bytes()
    copied.run(Breaking(lambda: path.write_bytes(b"no image")))
    assert copied.left_out()["train_00003"][0] == "image_changed"
    path.write_bytes(before)
    counts = copied.run()
    assert counts.left_out == {}
    assert len(histories(copied)["train_00003"]) > 1


def test_a_sample_keeps_the_evidence_that_it_was_taken_up_with(copied):
    def remove_evidence():
        for csv in (copied.faces / "openface").glob("*.csv"):
            csv.unlink()

    class Removing(Breaking):
        def generate(self, requests):
            yield from super().generate(iter(list(requests)))

    counts = copied.run(Removing(remove_evidence))
    assert counts.left_out == {}
    assert counts.attempts == 160


def test_samples_of_low_quality_are_left_out(build):
    counts = build.run(dropped={"train_00001": "laplacian>=100"})
    assert counts.left_out == {"quality": 1}
    assert build.left_out() == {"train_00001": ("quality", "laplacian>=100")}
    assert "train_00001" not in histories(build)


def test_an_error_of_the_engine_is_a_recorded_attempt_and_tried_again(build):
    failures = Counter()

    def write(prompt, seed):
        return fake_trace(prompt, seed)

    class Failing(FakeEngine):
        def _answer(self, request):
            failures[request.key] += 1
            if failures[request.key] <= 2:
                return Reply(request.key, "", error="the endpoint answered 500")
            return super()._answer(request)

    counts = build.run(Failing(write))
    assert counts.reasons["engine_error"] == 80
    for rows in histories(build).values():
        assert [row.error for row, _ in rows[:2]] == ["the endpoint answered 500"] * 2
        assert rows[2][0].number == 3
        assert rows[2][0].prompt.count("Your last answer") == 0


def test_an_engine_that_gives_up_loses_nothing(build):
    class Dying(FakeEngine):
        def generate(self, requests):
            for count, reply in enumerate(super().generate(requests)):
                if count == 17:
                    raise InputError("the endpoint is down; start it again")
                yield reply

    for expected in (17, 34):
        with pytest.raises(InputError, match="is down"):
            build.run(Dying())
        assert len(build.rows()) == expected
    build.run()
    after = build.rows()
    shutil.rmtree(build.out)
    build.run()
    assert build.rows() == after


def test_an_engine_that_loses_replies_is_asked_again_and_one_that_gives_none_is_named(build):
    class Losing(FakeEngine):
        def generate(self, requests):
            for count, reply in enumerate(super().generate(requests)):
                if count % 3:
                    yield reply

    build.run()
    expected = build.rows()
    shutil.rmtree(build.out)

    class Deaf(FakeEngine):
        def generate(self, requests):
            list(requests)
            yield from ()

    with pytest.raises(InputError, match="engine memory answered none of 40 questions"):
        build.run(Deaf())
    build.run(FakeEngine())
    assert build.rows() == expected


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "<image>" * 9, "<bbox>" * 3000, "é" * 40_000])
def test_any_text_is_a_row_and_its_mistakes_can_be_told_back(build, text):
    build.run(FakeEngine(lambda prompt, seed: (f"Verification loop: Inspect {text}", "stop")))
    rows = build.rows()
    assert len(rows) == 160
    for attempt, verdict in rows:
        assert text in attempt.text
        assert verdict.reason == "format"
        attempt.prompt.encode()
        assert attempt.prompt.count("<image>") == 1
        assert len(attempt.prompt) < 6000


def test_build_json_says_what_it_is_of(build):
    build.run()
    record = json.loads((build.out / "build.json").read_text())
    assert record["protocol"] == "made-faces/test"
    assert record["dataset"] == str(build.faces.resolve())
    assert record["mode"] == "blind"
    assert "Candidates" in record["prompt"]


def test_evidence_parquet_and_what_is_not_in_it(copied, tmp_path):
    evidence = tmp_path / "evidence"
    unseen = image(copied, "train_00001")
    hidden = unseen.rename(tmp_path / unseen.name)
    detector = make_detector("openface-csv", {"folder": str(copied.faces / "openface")})
    annotate(copied.faces / "Image", tmp_path / "other", detector)
    annotate(copied.faces, evidence, detector)
    hidden.rename(unseen)
    changed = image(copied, "train_00002")
    changed.write_bytes(image(copied, "train_00003").read_bytes())
    data = replace(copied.config.data, openface=None, evidence=(evidence,))
    copied.config = replace(copied.config, data=data)
    counts = copied.run()
    assert counts.left_out == {"image_changed": 1, "no_evidence": 1}
    assert copied.left_out()["train_00001"][1] == "no evidence: the image was not annotated"
    assert "run `tag-rewards annotate` again" in copied.left_out()["train_00002"][1]
    assert counts.samples == 38
    data = replace(data, evidence=(tmp_path / "other",))
    copied.config = replace(copied.config, data=data)
    with pytest.raises(InputError, match="the evidence has a row for none of the 40 images"):
        copied.run()


def test_an_image_that_is_gone_when_a_build_starts_again_is_named(copied):
    copied.run(policy=PolicyConfig(0, 0, 0))
    before = copied.rows()
    image(copied, "train_00007").unlink()
    engine = FakeEngine()
    with pytest.raises(InputError, match=r"train_00007.*does not exist"):
        copied.run(engine)
    assert engine.requests == []
    assert copied.rows() == before
