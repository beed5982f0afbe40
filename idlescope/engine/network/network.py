"""What a device with tensors is told to run, and how that becomes a `Forward`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from idlescope.engine.running_rows import Shape
from idlescope.models.architecture import Model

if TYPE_CHECKING:  # importing this needs no torch
    from idlescope.engine.network.forward import Forward, MakeAttention
    from idlescope.engine.network.torch_kernels import Kernels


@dataclass(frozen=True)
class Network:
    """A model, with weights of its folder or random ones, and how tokens are drawn."""

    model: Model
    dtype: str  # float32, bfloat16 or float16
    seed: int = 0  # of random weights and of sampling
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def load(
        self,
        shape: Shape,
        slots: int,
        device: str = "cpu",
        attention: MakeAttention | None = None,
        kernels: Kernels | None = None,
    ) -> Forward:
        """Return the network with its weights and an empty KV cache on a torch device.

        `attention` and `kernels` are in plain torch unless given. Raises ConfigError where the
        weights cannot be read.
        """
        import torch

        from idlescope.engine.network.attention import PagedAttention
        from idlescope.engine.network.checkpoint import load, random_weights
        from idlescope.engine.network.decoder import Decoder
        from idlescope.engine.network.forward import Forward
        from idlescope.engine.network.sampling import Sampling
        from idlescope.engine.network.torch_kernels import PLAIN

        torch_dtype = getattr(torch, self.dtype)
        if self.model.folder is None:
            weights = random_weights(self.model, self.seed, torch_dtype, device)
        else:
            stored = load(self.model.folder, self.model, torch_dtype)
            weights = {
                weight_name: weight.to(device) for weight_name, weight in stored.items()
            }
        decoder = Decoder(self.model, weights, shape, kernels or PLAIN)
        sampling = Sampling(self.temperature, self.top_k, self.top_p, self.seed)
        return Forward(decoder, shape, slots, sampling, attention or PagedAttention)
