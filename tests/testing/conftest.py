"""The rewards of these tests are imported by name, here and in the processes of the battery."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
