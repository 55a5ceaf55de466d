"""The command `tag-rewards`, also as `python -m tag_rewards`, where typer is there or not."""

import json
import sys
from importlib.util import find_spec

NEEDED = (
    "the command line needs more than the rewards do: pip install 'tag-rewards[cli]' "
    "(`tag-rewards doctor` works without, and says what is here)"
)


def main() -> None:
    """Run the command line; where typer is missing, only `doctor` and `doctor --json`.

    Anything else then is one sentence on stderr and exit code 2.
    """
    if find_spec("typer") is not None:
        from tag_rewards.cli import main as run

        run()
    elif sys.argv[1:] in (["doctor"], ["doctor", "--json"]):
        from tag_rewards.doctor import examine

        found = examine()
        print(json.dumps(found.record(), indent=2) if "--json" in sys.argv else found)
        sys.exit(0 if found.ok else 1)
    else:
        print(f"tag-rewards: {NEEDED}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
