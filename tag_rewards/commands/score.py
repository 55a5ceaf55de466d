"""`tag-rewards score`, `explain`, `attack` and `serve`."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from tag_rewards.commands.options import (
    ReasoningOption,
    SynonymsFile,
    read_target,
    read_text,
    words_of,
)
from tag_rewards.commands.show import require_canvas, require_png, write_picture
from tag_rewards.commands.terminal import AsJson, grid_table, progress, tell
from tag_rewards.errors import InputError, escaped
from tag_rewards.integrations.server.config import ServerConfig
from tag_rewards.looks import plain
from tag_rewards.rewards.score import GroundingConfig, RewardConfig

_Completion = Annotated[
    Path, typer.Argument(metavar="COMPLETION", help="File with a model's answer; - reads stdin.")
]


def score(
    completion: _Completion,
    target: Annotated[
        Path, typer.Option(help="File with the target's JSON (`reward_model.ground_truth`).")
    ],
    synonyms: SynonymsFile = None,
    reasoning: ReasoningOption = "allowed",
    as_json: AsJson = False,
) -> None:
    """Score one completion against a target, with the default weights, and say what is wrong in it.

    `explain` says where each number comes from.

    **Example**

        tag-rewards score answer.txt --target target.json
    """
    from tag_rewards.looks import Grid
    from tag_rewards.rewards import score_trace
    from tag_rewards.trace import read_trace

    truth, text = read_target(target), read_text(completion)
    config = RewardConfig(synonyms=words_of(synonyms), reasoning=reasoning)
    trace = read_trace(truth, text)
    scores = score_trace(trace, truth, config)
    table = Grid(("score", "value"), [(name, f"{value:.3f}") for name, value in scores.items()])
    tell(
        as_json,
        lambda: {"scores": scores, "errors": trace.errors},
        lambda: [grid_table(table), *(f"- {mistake}" for mistake in trace.errors)],
    )


def explain(
    completion: _Completion,
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET", help="File with the target's JSON, as `target` writes it."
        ),
    ],
    image: Annotated[
        Path | None, typer.Option(help="The image that it is about, to draw the boxes on.")
    ] = None,
    canvas: Annotated[
        int | None,
        typer.Option(help="Side of the canvas on which the model saw it, if it is not on one."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The picture, with --image, a PNG file.")] = Path(
        "face.png"
    ),
    synonyms: SynonymsFile = None,
    reasoning: ReasoningOption = "allowed",
    as_json: AsJson = False,
) -> None:
    r"""Say why a completion scores what it scores: each reward, each AU, each box, each mistake.

    The numbers are those of `score`, with the default weights.

    **Examples**

        tag-rewards target face.jpg --from openface --label happiness \
            --out target.json

        tag-rewards explain answer.txt target.json --image face.jpg --canvas 512 \
            --out why.png
    """
    from tag_rewards.rewards.explanation import explain as explain_text

    require_canvas(canvas)
    require_png(out)
    truth, text = read_target(target), read_text(completion)
    config = RewardConfig(synonyms=words_of(synonyms), reasoning=reasoning)
    found = explain_text(text, truth, config)
    written = []
    if image is not None:
        from tag_rewards.files.images import read_image
        from tag_rewards.pictures.face import face_picture

        picture = face_picture(image.name, read_image(image), truth, text, canvas=canvas)
        write_picture([picture], out)
        written.append(f"Written to {out}")
    tell(
        as_json,
        lambda: found,
        lambda: [*map(grid_table, found.grids()), *found.sentences(), *written],
    )


_LONGEST_EXAMPLE = 1000  # characters


def attack(
    data: Annotated[
        Path, typer.Argument(metavar="PARQUET", help="RL or evaluation data of `prepare`.")
    ],
    reward: Annotated[
        str | None,
        typer.Option(
            metavar="package.module:NAME",
            help="A reward of yours, called with a completion and a target's JSON; by default that "
            "of this library.",
        ),
    ] = None,
    key: Annotated[str, typer.Option(help="Where your reward stands in what it gives.")] = "score",
    formula: Annotated[
        str, typer.Option(help="Formula of grounding: ramp, or a published one (docs/rewards.md).")
    ] = "ramp",
    completions: Annotated[
        Path | None,
        typer.Option(help="What a model wrote about an eval.parquet, to change that too."),
    ] = None,
    budget: Annotated[
        int, typer.Option(help="Calls of the reward after which the search ends.")
    ] = 50_000,
    seed: Annotated[int, typer.Option(help="Of the faces that it sees, and of the search.")] = 0,
    as_json: AsJson = False,
) -> None:
    r"""Search for texts that earn much without a look at the face, seeing the score alone.

    One text for all faces, or for each label; and changes of honest traces, and of a model's. What
    is printed was measured on faces that the search did not see.

    **Examples**

        tag-rewards attack parquet/rl_train.parquet

        tag-rewards attack parquet/eval.parquet --completions grpo.jsonl \
            --formula tree_vgr

        tag-rewards attack parquet/rl_train.parquet \
            --reward my_package.rewards:my_reward
    """
    from tag_rewards.completions.completion import match_faces, read_completions
    from tag_rewards.looks import Grid
    from tag_rewards.named import load_named
    from tag_rewards.prepare.eval_set import read_evaluation_set, read_targets
    from tag_rewards.testing.attack import AttackConfig, attack_reward, reward_of

    config = AttackConfig(budget, seed, key)
    if reward is not None and formula != "ramp":
        raise InputError("--formula is one of this library's reward; leave out --reward or it")
    if reward is None:
        try:
            grounding = GroundingConfig(formula=formula)
        except ValueError as error:
            raise InputError(f"--formula: {error}") from None
        fn = reward_of(RewardConfig(grounding=grounding))
    else:
        fn = load_named("--reward", reward)
    texts = None
    if completions is None:
        targets = read_targets(data)
    else:
        faces = read_evaluation_set(data).faces
        matched = match_faces(completions, read_completions(completions, faces), faces)
        targets = [face.target for face in faces]
        texts = [one.completion if one else None for one in matched]
    with progress("Searching", unit="calls") as bar:
        bar.start(budget)
        result = attack_reward(fn, targets, texts, config, bar.advance)
    table = Grid(
        ("what is changed", "before", "after", "gain", "what earned it"),
        [
            (one.of, f"{one.before:.3f}", f"{one.score:.3f}", f"{one.gain:+.3f}", one.earned_by)
            for one in result.found
        ],
    )
    blind, n = result.blind, result.left_out
    left_out = f"; {n} faces without an AU or an expression are left out" if n else ""
    told = (
        f"The highest score without a look is {blind.score:.3f} ({blind.of}); honest traces earn "
        f"{result.honest:.3f}. {result.calls} calls of the reward; the search saw "
        f"{result.faces[0]} faces, the scores are of {result.faces[1]} others"
        f"{left_out}."
    )
    example = blind.example[:_LONGEST_EXAMPLE].splitlines()
    tell(
        as_json,
        lambda: {**plain(result), "blind": blind},
        lambda: [grid_table(table), told, "For example:", *map(escaped, example)],
    )


_SERVER, _REWARD = ServerConfig(), RewardConfig()
_GROUNDING = _REWARD.grounding
_NEEDED = ("fastapi", "httptools", "orjson", "prometheus_client", "uvicorn", "uvloop")


def _reward_option(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel="Reward")


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")
    ] = _SERVER.host,
    port: Annotated[int, typer.Option(help="TCP port.")] = _SERVER.port,
    workers: Annotated[
        int, typer.Option(help="Processes that score; one for each core to be used.")
    ] = _SERVER.workers,
    api_key_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Environment variable with the key that clients must send, as "
            "`Authorization: Bearer KEY` or in the URL as http://user:KEY@HOST; without it "
            "everybody is let in.",
        ),
    ] = None,
    max_body_mib: Annotated[
        int, typer.Option(help="Longest body of a request, in MiB; a longer one gets 413.")
    ] = _SERVER.max_body_bytes // 1024**2,
    max_completions: Annotated[
        int, typer.Option(help="Most completions in a request; more get 413.")
    ] = _SERVER.max_completions,
    timeout: Annotated[
        float,
        typer.Option(
            help="Seconds for a request to arrive (else 408) and to be scored (else 503)."
        ),
    ] = _SERVER.timeout,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Log each request on stderr, a line each.")
    ] = _SERVER.access_log,
    format_weight: Annotated[float, _reward_option("Weight of the format reward.")] = (
        _REWARD.format_weight
    ),
    accuracy_weight: Annotated[float, _reward_option("Weight of the answer's reward.")] = (
        _REWARD.accuracy_weight
    ),
    grounding_weight: Annotated[float, _reward_option("Weight of the grounding reward.")] = (
        _REWARD.grounding_weight
    ),
    consistency_weight: Annotated[
        float, _reward_option("Weight of the consistency of words, boxes and answer.")
    ] = _REWARD.consistency_weight,
    formula: Annotated[
        str, _reward_option("Formula of grounding: ramp, or a published one (docs/rewards.md).")
    ] = _GROUNDING.formula,
    iou_floor: Annotated[float, _reward_option("IoU up to which a box earns nothing.")] = (
        _GROUNDING.iou_floor
    ),
    iou_ceiling: Annotated[float, _reward_option("IoU from which a box earns everything.")] = (
        _GROUNDING.iou_ceiling
    ),
    au_weight: Annotated[
        float, _reward_option("Share of grounding that needs the right AUs named.")
    ] = _GROUNDING.au_weight,
    au_beta: Annotated[
        float, _reward_option("Beta of the AUs' F-score; above 1 weighs recall more.")
    ] = _GROUNDING.au_beta,
    probability_weighted: Annotated[
        bool,
        _reward_option(
            "Weigh each AU by the detector's probability (deprecated).", "--probability-weighted"
        ),
    ] = _GROUNDING.probability_weighted,
    overlap: Annotated[
        Literal["box", "polygon"], _reward_option("What a box is compared with.")
    ] = _GROUNDING.overlap,
    denominator: Annotated[
        Literal["max", "dice"],
        _reward_option("Divide by the larger number of claims and AUs, or by their mean."),
    ] = _GROUNDING.denominator,
    mentions: Annotated[
        Literal["conclusion", "anywhere"],
        _reward_option("Which AUs the F-score's precision is of: where they are asserted."),
    ] = _GROUNDING.mentions,
    unnamed: Annotated[
        Literal["matched", "ordered"],
        _reward_option("What boxes without a name stand for, where they are fewer than AUs."),
    ] = _GROUNDING.unnamed,
    unsure: Annotated[
        Literal["ignored", "wrong", "soft"],
        _reward_option("What claims of AUs are that the detector is unsure of."),
    ] = _GROUNDING.unsure,
    synonyms: SynonymsFile = None,
    reasoning: ReasoningOption = _REWARD.reasoning,
) -> None:
    """Serve the rewards over HTTP, for stacks that call a reward by URL.

    `POST /score` scores completions, `/openrlhf` and `/slime` speak with these stacks, `/health`
    and `/metrics` (Prometheus) tell how it goes, and `/docs` explains the bodies. Ends on Ctrl+C or
    SIGTERM, when the requests under way are answered.

    **Examples**

        tag-rewards serve --workers 2 --grounding-weight 0.5

        export TAG_KEY=$(openssl rand -hex 16)
        tag-rewards serve --host 0.0.0.0 --api-key-env TAG_KEY
    """
    if not all(map(find_spec, _NEEDED)):
        raise InputError("the server is an extra: pip install 'tag-rewards[server]'")
    if api_key_env is not None and api_key_env not in os.environ:
        raise InputError(f"the environment variable {api_key_env}, for the API key, is not set")
    try:
        grounding = GroundingConfig(
            iou_floor,
            iou_ceiling,
            probability_weighted,
            overlap,
            formula,
            au_weight,
            au_beta,
            mentions,
            unnamed,
            unsure,
            denominator=denominator,
        )
        config = ServerConfig(
            host=host,
            port=port,
            workers=workers,
            max_body_bytes=max_body_mib * 1024**2,
            max_completions=max_completions,
            timeout=timeout,
            access_log=access_log,
            api_key=None if api_key_env is None else os.environ[api_key_env],
            reward=RewardConfig(
                format_weight,
                accuracy_weight,
                grounding_weight,
                grounding,
                words_of(synonyms),
                reasoning,
                consistency_weight,
            ),
        )
    except ValueError as error:
        raise InputError(str(error)) from None

    from tag_rewards.integrations.server.run import serve as run

    run(config)
