"""For --external_plugins: recipes/tiny_vlm has a vocabulary of its own, and ms-swift knows Qwen's.

Real Qwen2.5-VL models need no such plugin.
"""

import json
from pathlib import Path

from swift.template.templates.qwen import Qwen2VLTemplate

CONFIG = Path(__file__).resolve().parents[2] / "recipes/tiny_vlm/base/config.json"

Qwen2VLTemplate.image_token_id = json.loads(CONFIG.read_text())["image_token_id"]
