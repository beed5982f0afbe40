"""One step on the device: unpack the slot, carry over, run the network, sample, leave the tokens.

The next step finds the tokens on the device. The same code runs in the CPU device's worker and,
captured in graphs or not, on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from idlescope.engine.network.attention import PagedAttention, Plan
from idlescope.engine.network.decoder import Attend, Decoder
from idlescope.engine.network.sampling import Sampling, sample
from idlescope.engine.running_rows import Shape
from idlescope.engine.slots import TOKEN_FIELDS, SlotLayout

# plan, block table (b, W), context (b,), query ends (b,), block size
MakeAttention = Callable[[Plan, Tensor, Tensor, Tensor, int], Attend]


class StepInputs(NamedTuple):
    """Views into a packed slot, for b rows, T query tokens and s sampled rows (slots.py)."""

    rows: Tensor  # (b,) row numbers
    context: Tensor  # (b,) cached tokens, the step's own included
    request: Tensor  # (b,) request ids
    query_end: Tensor  # (b,) end of each row's query tokens
    sample_at: Tensor  # (s,) query token of each sampled row
    token: Tensor  # (T,) ids, 0 where carried over
    position: Tensor  # (T,)
    carry_over: Tensor  # (T,) row of the step before that sampled the token, -1: none
    place: Tensor  # (T,) in the KV cache


class Forward:
    """The device's side of the slots, and the work of a step on them.

    `inputs` are the packed slots; `outputs`, (R + 1,), hold a static 0 and then the tokens of the
    sampled rows. A step reads the output of the slot before its own: the step before.
    """

    def __init__(
        self,
        decoder: Decoder,
        shape: Shape,
        slots: int,
        sampling: Sampling,
        attention: MakeAttention = PagedAttention,
    ) -> None:
        self.decoder = decoder
        self.shape = shape
        self.sampling = sampling
        self.attention = attention
        self.device = decoder.embedding.device
        self._layout = SlotLayout.of(shape)
        self.inputs = [self._zeros(self._layout.words) for _ in range(slots)]
        self.outputs = [self._zeros(shape.rows + 1) for _ in range(slots)]

    def _zeros(self, count: int) -> Tensor:
        return torch.zeros(count, dtype=torch.int32, device=self.device)

    @torch.inference_mode()
    def __call__(self, slot: int, plan: Plan) -> None:
        """Run the step whose inputs stand in a slot."""
        packed = self.inputs[slot]
        previous_tokens = self.outputs[slot - 1]
        output = self.outputs[slot]
        step_inputs = self._unpacked(packed, plan)
        if plan.padded:
            step_inputs = self._without_padding(step_inputs, packed)
        block_table = packed[self._layout.table].view(self.shape.rows, -1)
        row_table = block_table.index_select(0, step_inputs.rows)
        attend = self.attention(
            plan,
            row_table,
            step_inputs.context,
            step_inputs.query_end,
            self.shape.block_size,
        )
        # A token that the host did not know is 0, and the one carried over is added to it.
        carried = previous_tokens.index_select(0, step_inputs.carry_over + 1)
        hidden = self.decoder(
            step_inputs.token + carried, step_inputs.position, step_inputs.place, attend
        )
        request, position = step_inputs.request, step_inputs.context
        if not plan.decode:
            hidden = hidden.index_select(0, step_inputs.sample_at)
            if not self.sampling.greedy:
                sample_row = torch.searchsorted(
                    step_inputs.query_end, step_inputs.sample_at, right=True
                )
                request, position = request[sample_row], position[sample_row]
        logits = self.decoder.logits(hidden)
        find_largest = self.decoder.kernels.largest
        tokens = sample(logits, request, position, self.sampling, find_largest)
        output[1 : plan.sampled + 1] = tokens

    def _unpacked(self, packed: Tensor, plan: Plan) -> StepInputs:
        layout = self._layout
        row_count = len(plan.queries)
        token_count = sum(plan.queries)
        columns = packed[layout.tokens].view(-1, len(TOKEN_FIELDS))[:token_count]
        token_column, position, carry_over, cache_place = columns.unbind(1)
        return StepInputs(
            rows=packed[layout.rows][:row_count],
            context=packed[layout.context][:row_count],
            request=packed[layout.request][:row_count],
            query_end=packed[layout.query_end][:row_count],
            sample_at=packed[layout.sample_at][: plan.sampled],
            token=token_column,
            position=position,
            carry_over=carry_over,
            place=cache_place,
        )

    def _without_padding(self, step: StepInputs, packed: Tensor) -> StepInputs:
        """Return a decode step whose rows behind the last do no harm: steps before left them.

        They read row 0 and the static 0, and write to the block that the allocator does not give.
        """
        row_number = torch.arange(step.rows.numel(), device=self.device, dtype=torch.int32)
        row_count = packed[self._layout.header][0]
        real_row = row_number < row_count
        spare_place = self.shape.blocks * self.shape.block_size
        return step._replace(
            rows=step.rows * real_row,
            position=step.position * real_row,
            context=torch.where(real_row, step.context, 1),
            carry_over=torch.where(real_row, step.carry_over, -1),
            place=torch.where(real_row, step.place, spare_place),
        )
