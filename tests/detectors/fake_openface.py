"""A stand-in for OpenFace's `FaceLandmarkImg`: its calls, files and exit codes, without its models.

Run as a program, not imported by one. What it replays was observed on a 2.2-era build: it takes the
images in the order of `-f`; `STEM_of_details.txt` for each image, `STEM.csv` and the line
`Output csv:` only with a face; an unreadable image ends it with exit code 1 and the rest unseen;
missing models abort it; it ends with exit code 0 when the disk is full, with empty or cut files.

While it loads it says what is missing: without AU models each image with a face then aborts it,
without the MTCNN detector it takes another.

`plan.json` beside it says what happens to an image, by the image's width.
"""

import json
import os
import shutil
import signal
import struct
import sys
import time
from pathlib import Path

EXIT_OF_A_WRONG_CALL = 77


def main(arguments):
    program = Path(sys.argv[0])
    if not program.is_absolute() or not (program.parent / "model/main.txt").is_file():
        os.kill(os.getpid(), signal.SIGABRT)
    print("Loading the model", flush=True)
    if not (program.parent / "model/mtcnn_detector").is_dir():
        print("INFO: defaulting to HOG-SVM face detector", flush=True)
    if not (program.parent / "AU_predictors").is_dir():
        print("WARNING: no Action Unit models found", flush=True)
        time.sleep(0.5)
    plan = json.loads((program.parent / "plan.json").read_text())
    calls = program.parent / "calls.txt"
    images, out, rest = [], None, []
    while arguments:
        flag = arguments.pop(0)
        if flag == "-f":
            images.append(Path(arguments.pop(0)))
        elif flag == "-out_dir":
            out = Path(arguments.pop(0))
        else:
            rest.append(flag)
    with calls.open("a") as file:
        file.write(json.dumps({"images": len(images), "rest": rest, "pid": os.getpid()}) + "\n")
    if "-mloc" in rest and not Path(rest[rest.index("-mloc") + 1]).is_file():
        return EXIT_OF_A_WRONG_CALL
    stems = {image.stem for image in images}
    if len(stems) != len(images) or not all(stem.isascii() for stem in stems) or any(out.iterdir()):
        return EXIT_OF_A_WRONG_CALL
    for image in images:
        (width,) = struct.unpack("<i", image.read_bytes()[18:22])  # of a BMP
        look_at(image, out, program.parent, plan.get(str(width), "no face"))
    print("done")
    return 0


def look_at(image, out, home, behaviour):
    behaviour, _, csv = behaviour.partition(":")
    if behaviour == "crash once":
        marker = home / f"crashed-{csv}"
        behaviour = "faces" if marker.exists() else "crash"
        marker.touch()
    if behaviour == "passed over":
        return
    if behaviour == "unreadable":
        print(f"Could not open the image {image}, exiting", flush=True)
        sys.exit(1)
    details, table = out / f"{image.stem}_of_details.txt", out / f"{image.stem}.csv"
    if behaviour == "no details":
        details.touch()
        return
    details.write_text(f"Input:{image}\nCamera parameters:500,500,100,100\n")
    if behaviour == "hang":
        time.sleep(60)
    if behaviour == "crash":
        os.kill(os.getpid(), signal.SIGABRT)
    if behaviour in ("no face", "header only"):
        if behaviour == "header only":
            table.write_text((home / "faces.csv").read_text().splitlines(keepends=True)[0])
        return
    with details.open("a") as file:
        file.write(f"Output csv:{table.name}\n")
    if behaviour == "no csv":
        return
    shutil.copyfile(home / csv, table)
    size = {"cut": -30, "empty": 0, "crash in csv": -30}.get(behaviour)
    if size is not None:
        table.write_bytes(table.read_bytes()[:size])
    if behaviour == "crash in csv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if behaviour == "killed after csv":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
