"""Draws docs/images/report.jpg: the report of two made-up models on made faces, in Chromium.

Both write the traces of `prepare`: "loose" with boxes that are too large and some wrong AUs,
"tight" nearly exact. Run in a clone, with the extra `eval` and Chromium or Chrome in the path or in
$CHROME:

    python docs/make_report_figure.py
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO))

from tests.builders.headless import find_browser  # noqa: E402

MODELS = {
    "loose": ("--sft-box-jitter", "0.1", "--sft-box-growth", "0.3", "--sft-au-error", "0.3"),
    "tight": ("--sft-box-jitter", "0.04", "--sft-au-error", "0.1"),
}
SHOTS = (("wide", 1000, 1240, "light"), ("phone", 500, 1240, "dark"))
"""Name, width, height and colours of a window; Chromium has none that is narrower than 500."""


def tag(folder: Path, *arguments: str) -> None:
    """Run a command of this checkout."""
    program = [sys.executable, "-m", "tag_rewards", *arguments]
    subprocess.run(program, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def make_report(folder: Path) -> Path:
    """The report of both models on the same 120 faces."""
    tag(folder, "made-faces", "faces", "--train", "120", "--test", "120", "--size", "224")
    for name, errors in MODELS.items():
        where = ("--protocol", "made-faces/test", "--openface", "faces/openface", "--out", name)
        tag(folder, "prepare", "faces", *where, "--canvas", "224", *errors)
        rows = pq.read_table(folder / name / "sft_test.parquet").to_pylist()
        answers = [{"id": row["id"], "completion": row["messages"][1]["content"]} for row in rows]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in answers))
        files = ("--data", "loose/eval.parquet", "--predictions", f"{name}.jsonl")
        tag(folder, "eval", *files, "--out", f"results/{name}")
    tag(folder, "report", "results/loose", "results/tight", "--out", "report")
    return folder / "report" / "index.html"


def shoot(page: Path, name: str, width: int, height: int, colours: str) -> Image.Image:
    """The top of the page in a window of this size."""
    picture = page.with_name(f"{name}.png")
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={width},{height}"]
    if colours == "dark":
        options.append("--blink-settings=preferredColorScheme=0")
    program = [find_browser(), *options, f"--screenshot={picture}", page.as_uri()]
    subprocess.run(program, check=True, capture_output=True)
    return Image.open(picture).convert("RGB")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        page = make_report(Path(folder))
        shots = [shoot(page, *shot) for shot in SHOTS]
    sheet = Image.new("RGB", (sum(one.width for one in shots) + 16, shots[0].height), "#888")
    sheet.paste(shots[0], (0, 0))
    sheet.paste(shots[1], (shots[0].width + 16, 0))
    sheet.save(REPO / "docs" / "images" / "report.jpg", quality=80, optimize=True)
