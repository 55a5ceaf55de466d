#!/usr/bin/env bash
# Each extra alone, in a fresh environment with the newest versions, does what its page begins with.
#
#   bash tests/extras.sh [EXTRA...]     # all but `trl` and `verl`, which bring PyTorch; needs a package index
#
# Ends with 1 at the first that does not.
set -euo pipefail
cd "$(dirname "$0")/.."
ROOT=$PWD
PYTHON=${PYTHON:-python3}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

faces() { # a dataset of drawn faces, with OpenFace's files, and what `prepare` makes of it
    tag-rewards made-faces faces --train 6 --test 6 --size 96 >made.txt
    tag-rewards prepare faces --protocol made-faces/test --openface faces/openface --out data >prepared.txt
}

try_core() { python "$ROOT/examples/score_a_trace.py"; }
try_cli() {
    tag-rewards --version
    printf '<answer> sadness </answer>' >completion.txt
    printf '{"version": 1, "label": "sadness", "evidence": [], "box_space": {"kind": "normalized_1000"}}' >target.json
    tag-rewards score completion.txt --target target.json
}
try_data() { faces && ls data; }
try_eval() {
    faces
    python -c 'import json, pyarrow.parquet as pq
for face in pq.read_table("data/eval.parquet")["extra_info"].to_pylist():
    print(json.dumps({"id": face["id"], "completion": "<answer> happiness </answer>"}))' >completions.jsonl
    tag-rewards eval --data data/eval.parquet --predictions completions.jsonl --out results
    tag-rewards report results --out report
}
try_traces() { # as far as asking an endpoint, of which there is none
    faces
    ! tag-rewards traces build faces --protocol made-faces/test --openface faces/openface --model some-model \
        -o url=http://127.0.0.1:9/v1 --out built 2>said.txt
    cat said.txt
    grep -q 127.0.0.1:9 said.txt
}
try_detect() { tag-rewards show "$ROOT/tests/assets/"*.jpg --out shown.png; }
try_server() {
    tag-rewards serve --port 8999 &
    local server=$!
    for _ in $(seq 50); do
        ! python -c 'import urllib.request as r; print(r.urlopen("http://127.0.0.1:8999/health").read())' 2>/dev/null || break
        sleep 0.2
    done
    kill -INT $server
    wait $server
}
try_testing() {
    printf '%s\n' 'from tag_rewards import Target, score' 'def my_reward(completion, ground_truth):' \
        '    return score(completion, Target.from_json(ground_truth))' >my_rewards.py
    PYTHONPATH=. pytest -q -p no:cacheprovider --reward-contract my_rewards:my_reward
}
try_trl() { python "$ROOT/examples/trl/train_grpo.py"; }

(($#)) || set -- core cli data eval traces detect server testing
for extra; do
    echo "== $extra"
    "$PYTHON" -m venv "$WORK/$extra"
    wanted=$ROOT$([[ $extra == core ]] || echo "[$extra]")
    "$WORK/$extra/bin/pip" install --quiet "$wanted"
    mkdir "$WORK/$extra.run"
    (cd "$WORK/$extra.run" && PATH="$WORK/$extra/bin:$PATH" && "try_$extra")
done
