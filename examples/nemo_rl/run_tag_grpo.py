"""NeMo-RL's own VLM script, with the TAG environment in the registry first.

In NeMo-RL's folder:

uv run python run_tag_grpo.py examples/run_vlm_grpo.py --config examples/configs/tag_grpo.yaml
"""

import runpy
import sys

from tag_rewards.integrations import nemo_rl

if __name__ == "__main__":
    nemo_rl.register()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
