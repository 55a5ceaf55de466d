"""The faces of an RL parquet file, and their reward."""

import base64
from collections.abc import Iterator

import verifiers.v1 as vf
from pydantic import Field

from tag_rewards.integrations.verifiers import tag_metrics, tag_reward
from tag_rewards.prepare import IMAGE_TAG, RLRow, read_rl_parquet


class FaceData(vf.TaskData):
    """What a task carries beside its prompt."""

    ground_truth: str
    """The target, as Target.to_json() writes it."""


class FaceTaskConfig(vf.TaskConfig):
    """Knobs of scoring, under [env.taskset.task]."""

    reward: dict[str, float | bool | str] = Field(default_factory=dict)
    """Options of the reward by their names, such as grounding_weight."""


class FaceTask(vf.Task[FaceData, vf.State, FaceTaskConfig]):
    """Scored without a runtime, so that `vf-replay` can score saved traces anew."""

    @vf.reward
    async def tag(self, trace: vf.Trace) -> float:
        """The weighted whole."""
        return await tag_reward(self.data, trace, self.config.reward)

    @vf.metric
    async def components(self, trace: vf.Trace) -> dict[str, float]:
        """Each component and diagnostic."""
        return await tag_metrics(self.data, trace, self.config.reward)


class FaceConfig(vf.TasksetConfig):
    """Which faces, under [env.taskset]."""

    parquet: str = "parquet/rl_test.parquet"
    """A file that `tag-rewards prepare` wrote."""
    task: FaceTaskConfig = FaceTaskConfig()


class FaceTaskset(vf.Taskset[FaceTask, FaceConfig]):
    """One task for each row."""

    def load(self) -> Iterator[FaceTask]:
        """Read the file row by row; a wrong row is an error before the first rollout."""
        for row in read_rl_parquet(self.config.parquet):
            data = FaceData(
                id=row.id,
                name=f"{row.data_source} {row.id}",
                prompt=[vf.UserMessage(content=message_parts(row))],
                ground_truth=row.target.to_json(),
            )
            yield FaceTask(data, self.config.task)


def message_parts(row: RLRow) -> list[vf.ContentPart]:
    """The prompt with the image in place of its tag."""
    before, _, after = row.prompt.partition(IMAGE_TAG)
    kind = "png" if row.image.startswith(b"\x89PNG") else "jpeg"
    url = f"data:image/{kind};base64,{base64.b64encode(row.image).decode()}"
    image = vf.ImageUrlContentPart(image_url=vf.ImageUrlSource(url=url))
    texts = [vf.TextContentPart(text=text) if text else None for text in (before, after)]
    return [part for part in (texts[0], image, texts[1]) if part is not None]
