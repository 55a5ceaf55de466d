from .build import build_traces
from .config import (
    BuildConfig,
    BuildData,
)
from .export import (
    ExportConfig,
    export_traces,
)
from .ledger import (
    open_ledger,
    read_ledger,
)
from .ledger_reader import LedgerReader
from .policy import PolicyConfig
from .prompts import (
    WriterPrompt,
    load_prompt,
)
from .records import (
    Attempt,
    TraceSample,
    Verdict,
)
from .status import (
    BuildStatus,
    read_status,
)
from .verify import (
    VerifyConfig,
    verify,
)

__all__ = [
    "Attempt",
    "BuildConfig",
    "BuildData",
    "BuildStatus",
    "ExportConfig",
    "LedgerReader",
    "PolicyConfig",
    "TraceSample",
    "Verdict",
    "VerifyConfig",
    "WriterPrompt",
    "build_traces",
    "export_traces",
    "load_prompt",
    "open_ledger",
    "read_ledger",
    "read_status",
    "verify",
]
