"""Run verl 0.9 with vLLM and Ray on a machine without a GPU.

Each module here removes one obstacle, says what it is for and how to see that it can go, and does
nothing where it is not needed:

====================  ==========================================================================
`torchvision_guard`   lets `import torchvision` succeed beside a CPU build of torch
`torchaudio_guard`    hides a torchaudio that does not load into it
`platform`            verl's "cpu" platform (with `device`, its stand-in for `torch.cuda`)
`engine_device`       lets verl find its FSDP engine on a CPU
`process_group`       a process-group backend string without a duplicate
`unpinned_offload`    FSDP2's CPU offload without pinned memory
`vllm_worker`         weight sync into vLLM's CPU model runner
====================  ==========================================================================

How they get into each process (driver, Ray workers, vLLM's engine core, torchrun's children):
through entry points, so no environment variable has to travel, no `.pth` or `sitecustomize` is
needed, and every Python process that uses this environment has them:

- the guards through `torch.backends`, the group that `import torch` loads: it is the only hook
  which surely runs before torchvision and torchaudio, in processes that never import verl too;
- the rest through `verl.plugins` (`plugin.py`), the group that `import verl` loads;
- the vLLM worker by its name in the configuration,
  `worker_extension_cls=tag_rewards_verl_cpu.vllm_worker.CpuWorkerExtension`.

verl reports a plug-in that fails to load at debug level only; `python -m tag_rewards_verl_cpu`
shows each piece, and the error if there is one.
"""

from __future__ import annotations

import os

__all__ = ["wanted"]


def wanted() -> bool:
    """Whether verl is to run on the CPU in this process.

    Yes when `VERL_PLATFORM=cpu`; with another value, no. Without one, yes only if this torch was
    built for no accelerator at all: on a GPU machine a process that sees no device (a CPU-only Ray
    actor) still has an accelerator build, so installing this package there changes nothing.
    """
    import torch  # here, because the guards' modules are loaded by torch itself

    chosen = os.environ.get("VERL_PLATFORM", "").strip().lower()
    if chosen:
        return chosen == "cpu"
    return torch.accelerator.current_accelerator() is None
