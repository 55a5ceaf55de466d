"""Weight sync from verl's trainer into vLLM's CPU model runner.

For: after loading, vLLM's CPU linear layers repack their weights for the CPU's kernels, and the
repacked parameters have no `weight_loader` any more. verl's extension calls `model.load_weights`
bucket by bucket and fails on them. vLLM's own way to load again is `reload_weights`, which restores
the layers, loads, and repacks; it wants all weights at once.

It can go when verl calls `reload_weights` itself, or vLLM's CPU layers keep their loaders. It is
named in the configuration (`engine_kwargs.vllm.worker_extension_cls`) by the CPU recipes only.
"""

from __future__ import annotations

from typing import Any

import torch
from verl.workers.rollout.vllm_rollout.bucketed_weight_transfer import BucketedWeightReceiver
from verl.workers.rollout.vllm_rollout.utils import vLLMColocateWorkerExtension


class CpuWorkerExtension(vLLMColocateWorkerExtension):
    """verl's vLLM worker extension with weights received whole and reloaded by vLLM."""

    def update_weights_from_ipc(
        self,
        peft_config: dict[str, Any] | None = None,
        base_sync_done: bool = False,
        use_shm: bool = False,
    ) -> None:
        """Receive every weight from the trainer and load them; LoRA adapters go verl's own way."""
        if peft_config:
            super().update_weights_from_ipc(peft_config, base_sync_done, use_shm)
            return
        received: list[tuple[str, torch.Tensor]] = []

        def keep(bucket: list[tuple[str, torch.Tensor]], is_last: bool) -> None:
            # Copies: the bucket's tensors are views of shared memory, which cannot be closed while
            # a view lives, and which the next bucket overwrites.
            received.extend((name, tensor.clone()) for name, tensor in bucket)

        receiver = BucketedWeightReceiver(
            zmq_handle=self._get_zmq_handle(), device=torch.device("cpu"), use_shm=use_shm
        )
        receiver.receive_weights(on_bucket_received=keep)
        self.model_runner.reload_weights(weights_iterator=iter(received))
