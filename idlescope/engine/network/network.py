"""What a device with tensors is told to run, and how that becomes a `Forward`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from idlescope.engine.running_rows import Shape
from idlescope.models.architecture import Model

if TYPE_CHECKING:
    from idlescope.engine.network.decoder import Kernels
    from idlescope.engine.network.forward import Forward, MakeAttention


@dataclass(frozen=True)
class Network:
    """A model, with weights of its folder or random ones, and how tokens are drawn. Importing this needs no torch."""

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
        """Return the network with its weights and an empty KV cache on a torch device. Raises ConfigError."""
        import torch

        from idlescope.engine.network.attention import PagedAttention
        from idlescope.engine.network.checkpoint import load, random_weights
        from idlescope.engine.network.decoder import Decoder
        from idlescope.engine.network.forward import Forward
        from idlescope.engine.network.sampling import Sampling

        dtype = getattr(torch, self.dtype)
        if self.model.folder is None:
            weights = random_weights(self.model, self.seed, dtype, device)
        else:
            weights = {
                name: w.to(device) for name, w in load(self.model.folder, self.model, dtype).items()
            }
        decoder = Decoder(
            self.model, weights, shape.blocks, shape.block_size, shape.length, kernels
        )
        sampling = Sampling(self.temperature, self.top_k, self.top_p, self.seed)
        return Forward(decoder, shape, slots, sampling, attention or PagedAttention)
