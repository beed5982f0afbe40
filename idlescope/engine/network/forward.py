"""One step on the device: unpack the slot, carry over, run the network, sample, leave the tokens for the next step.

The same code runs in the CPU device's worker and, captured in graphs or not, on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from idlescope.engine.network.attention import PagedAttention, Plan
from idlescope.engine.network.decoder import Attend, Decoder
from idlescope.engine.network.sampling import Sampling, sample
from idlescope.engine.running_rows import Shape
from idlescope.engine.slots import TOKEN_FIELDS, SlotLayout

MakeAttention = Callable[[Plan, Tensor, Tensor, Tensor, int], Attend]


class Forward:
    """The device's side of the slots, and the work of a step on them.

    `inputs` are the packed slots; `outputs` (R + 1,) hold a static 0 and then the tokens of the sampled rows. A step
    reads the output of the slot before its own: the step before.
    """

    def __init__(
        self,
        decoder: Decoder,
        shape: Shape,
        slots: int,
        sampling: Sampling,
        attention: MakeAttention = PagedAttention,
    ) -> None:
        self.decoder, self.shape, self.sampling, self.attention = (
            decoder,
            shape,
            sampling,
            attention,
        )
        self.device = decoder.embedding.device
        words = SlotLayout.of(shape).words
        self.inputs = [
            torch.zeros(words, dtype=torch.int32, device=self.device) for _ in range(slots)
        ]
        self.outputs = [
            torch.zeros(shape.rows + 1, dtype=torch.int32, device=self.device) for _ in range(slots)
        ]

    @torch.inference_mode()
    def __call__(self, slot: int, plan: Plan) -> None:
        """Run the step whose inputs stand in a slot."""
        packed, previous, output = self.inputs[slot], self.outputs[slot - 1], self.outputs[slot]
        b, n, s = len(plan.queries), sum(plan.queries), plan.sampled
        view = {name: packed[span] for name, span in SlotLayout.of(self.shape)._asdict().items()}
        table = view["table"].view(self.shape.rows, -1)
        token, position, carry, place = view["tokens"].view(-1, len(TOKEN_FIELDS))[:n].unbind(1)
        rows, context, request = (view[name][:b] for name in ("rows", "context", "request"))
        if plan.padded:  # what stands behind the last row is left over from steps before
            real = torch.arange(b, device=self.device, dtype=torch.int32) < view["header"][0]
            trash = self.shape.blocks * self.shape.block_size
            rows, position, context = rows * real, position * real, torch.where(real, context, 1)
            carry, place = torch.where(real, carry, -1), torch.where(real, place, trash)
        attend = self.attention(
            plan, table.index_select(0, rows), context, view["query_end"][:b], self.shape.block_size
        )
        hidden = self.decoder(token + previous.index_select(0, carry + 1), position, place, attend)
        if not plan.decode:
            at = view["sample_at"][:s]
            hidden = hidden.index_select(0, at)
            if not self.sampling.greedy:
                row = torch.searchsorted(view["query_end"][:b], at, right=True)
                request, context = request[row], context[row]
        logits = self.decoder.logits(hidden)
        output[1 : s + 1] = sample(
            logits, request, context, self.sampling, self.decoder.kernels.largest
        )
