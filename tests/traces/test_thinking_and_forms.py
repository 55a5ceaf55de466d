"""Writers that think first, in any way in which a message shows it, and writers of any form."""

from dataclasses import replace

import pytest

from tag_rewards.engines.openai_endpoint import OpenAIEngine
from tag_rewards.engines.openai_protocol import OpenAIConfig
from tag_rewards.forms import FORMS, form_named
from tag_rewards.prepare.face_target import TargetConfig
from tag_rewards.prepare.rows import read_sft_parquet
from tag_rewards.target import Target
from tag_rewards.trace import without_reasoning
from tag_rewards.traces.config import read_build_record
from tag_rewards.traces.ledger import read_ledger
from tests.builders.build import CANVAS, Build
from tests.builders.command import command
from tests.builders.writer import MODEL, THINKS, THOUGHTS, FakeEngine, fake_trace


@pytest.fixture(scope="module")
def plain(made_faces, tmp_path_factory):
    """A build in TAG's form, by a writer that does not think."""
    done = Build(made_faces, tmp_path_factory.mktemp("plain") / "out")
    assert done.run().accepted > 20
    return done


def outcomes(build):
    """What was asked about each sample, what was read, and what came of it."""
    return [
        (
            attempt.sample,
            attempt.number,
            attempt.prompt,
            without_reasoning(attempt.text).strip(),
            verdict,
        )
        for attempt, verdict in build.rows()
    ]


@pytest.mark.parametrize("thinks", THINKS)
def test_a_writer_that_thinks_gives_the_same_traces_at_the_same_rate(
    plain, build, other_writer, thinks
):
    build.run(OpenAIEngine(MODEL, OpenAIConfig(url=other_writer("tag", thinks))))
    assert outcomes(build) == outcomes(plain)
    kept = thinks != "in a part"
    assert all((THOUGHTS in attempt.text) == kept for attempt, _ in build.rows())


def test_a_writer_that_is_cut_off_while_it_thinks_is_asked_again(build):
    engine = FakeEngine(lambda prompt, seed: (f"<think>{THOUGHTS}", "length"))
    counts = build.run(engine)
    assert counts.reasons == {"truncated": counts.attempts}
    assert counts.accepted == 0


@pytest.mark.parametrize("name", FORMS)
def test_a_build_in_any_form_keeps_as_much(plain, build, name):
    data = replace(build.config.data, annotation=TargetConfig(CANVAS, form=name))
    build.config = replace(build.config, data=data)
    build.run(FakeEngine(lambda prompt, seed: fake_trace(prompt, seed, name)))
    assert [verdict.reason for _, verdict in build.rows()] == [
        verdict.reason for _, verdict in plain.rows()
    ]


def test_the_command_builds_in_a_form(made_faces, other_writer, tmp_path, monkeypatch):
    monkeypatch.setattr("tag_rewards.traces.exported.EXAMPLES", 1)
    out = tmp_path / "out"
    code, _, error = command(
        *("traces", "build", made_faces, "--protocol", "made-faces/test"),
        *("--openface", made_faces / "openface", "--canvas", 64, "--form", "qwen3_vl"),
        *("--model", MODEL, "-o", f"url={other_writer('qwen3_vl', 'in marks')}", "--out", out),
    )
    assert (code, error) == (0, "")
    assert read_build_record(out).annotation.form == "qwen3_vl"
    with read_ledger(out / "ledger.sqlite") as ledger:
        forms = {Target.from_json(sample.target).form for sample in ledger.samples()}
        written = {
            attempt.sample: attempt.text for attempt, verdict in ledger.judged() if verdict.accepted
        }
    assert forms == {"qwen3_vl"}
    rows = [
        row
        for split in ("train", "test")
        for row in read_sft_parquet(out / "traces" / f"sft_{split}.parquet")
    ]
    assert len(rows) == len(written) > 20
    for row in rows:
        assert '{"bbox_2d": [x1, y1, x2, y2], "label": "AU1"}' in row.prompt
        assert row.trace.startswith("Global analysis:")
        assert written[row.id] == f"<think>\n{THOUGHTS}\n</think>\n\n{row.trace}"
        assert form_named("qwen3_vl").pattern.search(row.trace)
