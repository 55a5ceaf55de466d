from .config import (
    BuildConfig,
    BuildData,
)
from .exported import export
from .ledger import (
    LedgerReader,
    open_ledger,
    read_ledger,
)
from .progress import (
    BuildStatus,
    status,
)
from .prompts import (
    PolicyConfig,
    WriterPrompt,
    load_prompt,
)
from .records import (
    Attempt,
    TraceSample,
)
from .run import build
from .verifier import (
    Verdict,
    VerifyConfig,
    verify,
)

__all__ = [
    "Attempt",
    "BuildConfig",
    "BuildData",
    "BuildStatus",
    "LedgerReader",
    "PolicyConfig",
    "TraceSample",
    "Verdict",
    "VerifyConfig",
    "WriterPrompt",
    "build",
    "export",
    "load_prompt",
    "open_ledger",
    "read_ledger",
    "status",
    "verify",
]
