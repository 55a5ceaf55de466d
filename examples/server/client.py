"""Score completions over HTTP, with nothing but the standard library.

tag-rewards serve &
python examples/server/client.py http://127.0.0.1:8000

With an API key: http://user:KEY@HOST:8000.
"""

import base64
import json
import sys
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

TARGET = {
    "version": 1,
    "label": "happiness",
    "box_space": {"kind": "pixels", "width": 512, "height": 512},
    "evidence": [{"au": 12, "probability": 0.9, "box": [120, 330, 390, 450]}],
}
ROLLOUTS = [
    """Global analysis: a bright face.
Verification loop:
Inspect mouth corners (AU12) → pulled up → <bbox>[118,340,380,445]</bbox>
Final conclusion: AU12 indicates happiness.
<answer> happiness </answer>""",
    "<answer> happiness </answer>",
]


def post(url: str, body: object) -> dict:
    """The JSON answer; `urllib.error.HTTPError` if the server refuses, with the reason in it."""
    parts = urlsplit(url)
    headers = {"content-type": "application/json"}
    if parts.password:
        user = base64.b64encode(f"{parts.username}:{parts.password}".encode())
        headers["authorization"] = f"Basic {user.decode()}"
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    with urlopen(Request(plain, json.dumps(body).encode(), headers), timeout=60) as response:
        return json.load(response)


if __name__ == "__main__":
    address = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    answer = post(f"{address}/score", {"completions": ROLLOUTS, "ground_truth": TARGET})
    for scores in answer["scores"]:
        print({key: round(scores[key], 3) for key in ("score", "format", "accuracy", "grounding")})
