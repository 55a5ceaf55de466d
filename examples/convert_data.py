"""The columns that other stacks read, out of a file that `tag-rewards prepare` wrote.

    python examples/convert_data.py slime parquet/rl_train.parquet parquet/slime_train.parquet

The output is JSON lines if its name ends in .jsonl, else parquet. Images are copied byte for byte,
so that boxes in pixels stay right.
"""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tag_rewards.prepare import read_rl_parquet

if TYPE_CHECKING:
    from tag_rewards.prepare import RLRow


def data_uri(image: bytes) -> str:
    """The image as text, which JSON can hold."""
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def easyr1(row: RLRow) -> dict[str, Any]:
    """`data.prompt_key=problem data.answer_key=answer data.image_key=images`."""
    return {
        "problem": row.prompt,
        "images": [{"bytes": row.image}],
        "answer": row.target.to_json(),
    }


def openrlhf(row: RLRow) -> dict[str, Any]:
    """`--data.input_key prompt --data.label_key label --data.image_key images`."""
    return {
        "prompt": [{"role": "user", "content": row.prompt}],
        "images": [data_uri(row.image)],
        "label": row.target.to_json(),
    }


def slime(row: RLRow) -> dict[str, Any]:
    """`--input-key prompt --label-key label --multimodal-keys '{"image": "images"}'`."""
    return openrlhf(row)


def nemo_rl(row: RLRow) -> dict[str, Any]:
    """Messages as NeMo-RL's own VLM datasets have them; the target is the assistant's."""
    content = [
        {"type": "image", "image": data_uri(row.image)},
        {"type": "text", "text": row.prompt.replace("<image>", "").strip()},
    ]
    return {
        "messages": [
            {"role": "user", "content": content},
            {"role": "assistant", "content": row.target.to_json()},
        ],
        "task_name": "tag",
    }


def roll(row: RLRow) -> dict[str, Any]:
    """The columns of the row's own file, but the image as text: ROLL cannot read bytes."""
    names = ("data_source", "prompt", "reward_model")
    record = row.to_record()
    return {**{name: record[name] for name in names}, "images": [data_uri(row.image)]}


STACKS = {function.__name__: function for function in (easyr1, openrlhf, slime, nemo_rl, roll)}


def main() -> None:
    """Convert a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stack", choices=sorted(STACKS))
    parser.add_argument("source", type=Path, help="rl_train.parquet or rl_test.parquet")
    parser.add_argument("out", type=Path, help="what to write")
    arguments = parser.parse_args()
    records = [STACKS[arguments.stack](row) for row in read_rl_parquet(arguments.source)]
    if arguments.out.suffix == ".jsonl":
        lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        with arguments.out.open("w", encoding="utf-8") as file:
            file.writelines(lines)
    else:
        pq.write_table(pa.Table.from_pylist(records), arguments.out)
    print(f"{len(records)} rows in {arguments.out}")


if __name__ == "__main__":
    main()
