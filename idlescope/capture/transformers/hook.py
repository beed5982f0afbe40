"""Record the steps of transformers' continuous batching, by wrapping the methods of its loop.

Each method becomes a range, and the step clock is told of it and of the step's work. The methods
are wrapped on the objects of one run, where they are looked up; nothing of the library is changed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from idlescope.capture.ranges import Range
from idlescope.capture.step_clock import StepClock
from idlescope.capture.transformers.methods import (
    METHODS,
    OLDER_STEP_METHODS,
    PHASES,
    Method,
    blocking_method,
)
from idlescope.engine.clock import SystemClock
from idlescope.engine.devices.base import COMPUTE, DeviceOperation
from idlescope.models.architecture import Model
from idlescope.trace.model import OperationKind


class StepWork(NamedTuple):
    """What a step computes, as transformers' scheduler says."""

    tokens: int  # query tokens
    sampled: int  # rows that yield a token
    context_tokens: int  # cached tokens that attention reads, the step's own included
    attention_pairs: int  # (query, key) pairs that attention scores
    first_tokens_due: bool  # a request without a first token may be among its rows


class InFlight(NamedTuple):
    """A launched step whose tokens are not yet taken in; times in ns on the run's clock."""

    call_start: int
    call_end: int
    events: Any  # around it on a CUDA stream; None where the call itself is the computing
    work: StepWork


class Hook:
    """Wraps the methods of one batch processor and records its steps, in the thread of its loop.

    On a CPU computing blocks the host: the device's operation is the call itself, in which the host
    waits. On CUDA it is what lies between two events on the compute stream, the first of them just
    before the graph's launch. `before_step` is called with the number of the next step.
    """

    def __init__(
        self,
        model: Model,
        recorder: StepClock,
        clock: SystemClock,
        cuda: bool,
        pipelined: bool,
    ) -> None:
        self.clock = clock
        self.before_step: Callable[[int], None] | None = None
        self.launched = 0  # steps that were launched
        self.updated = 0  # steps whose tokens were taken in
        self.updated_ns = 0  # when the last of them was
        self.tokens = 0  # that were sampled
        self.captured = 0  # CUDA graphs
        self.capture_ns = 0  # how long that took
        self.first_tokens: dict[str, int] = {}  # when each request had its first token, ns
        self.preemptions: dict[str, int] = {}  # how often each request was
        self._model = model
        self._recorder = recorder
        self._cuda = cuda
        self._blocking_method = blocking_method(pipelined)
        self._begun = False
        self._busy_ns = 0
        self._first_tokens_due = 0  # requests without a first token
        self._work = StepWork(0, 0, 0, 0, False)  # of the step that was scheduled last
        self._in_flight: deque[InFlight] = deque()
        self._batch_requests: Sequence[Any] = ()
        self._timer: Any = None
        self._running = ExitStack()  # what goes on from the first step to the end
        self._before: dict[str, Callable[[], None]] = {
            "prepare_next_batch": self._before_next_step,
            "compute_batch": self._before_compute,
        }
        self._after: dict[str, Callable[[Any, int, int], None]] = {
            "schedule_batch": self._after_schedule,
            "compute_batch": self._after_compute,
            "retrieve_device_outputs": self._after_retrieve,
            "prepare_batch_update": self._after_prepare_update,
            "update_batch": self._after_update,
        }

    @contextmanager
    def attached(self, processor: Any, requests: int) -> Iterator[None]:
        """Wrap the methods of a batch processor meanwhile, which so many requests are for."""
        self._first_tokens_due = requests
        wrapped: list[tuple[Any, str]] = []

        def replace(owner: Any, name: str, replacement: Any) -> None:
            setattr(owner, name, replacement)
            wrapped.append((owner, name))

        if self._cuda:
            from idlescope.engine.devices.cuda_clock import StreamTimer

            slots = processor.inputs_and_outputs
            runner = processor.model_runner
            self._timer = StreamTimer(slots.compute_stream)
            replace(slots, "get_graph", self._timing_from_graph(slots.get_graph))
            replace(
                runner, "_capture_graph", self._counting_captures(runner._capture_graph)
            )
        try:
            for phase_index, method in enumerate(METHODS):
                owner = getattr(processor, method.owner) if method.owner else processor
                original = getattr(owner, method.name)
                replace(owner, method.name, self._wrap(phase_index, method, original))
            with self._running:
                yield
        finally:
            for owner, name in wrapped:
                delattr(owner, name)

    def busy_ns(self) -> int:
        """Return the compute time of all steps taken in so far."""
        return self._busy_ns

    def _wrap(
        self, phase: int, method: Method, call: Callable[..., Any]
    ) -> Callable[..., Any]:
        """Return a method that does what `call` does, as a range that is recorded."""
        clock_now = self.clock.now
        recorder = self._recorder
        phase_label = PHASES[phase]
        of_older_step = method.name in OLDER_STEP_METHODS
        blocks = self._cuda and method.name == self._blocking_method
        before = self._before.get(method.name)
        after_method = self._after.get(method.name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if before is not None:
                before()
            wrapped_step = self.updated if of_older_step else self.launched
            phase_start = clock_now()
            with Range(phase_label, method.phase, wrapped_step):
                result = call(*args, **kwargs)
            phase_end = clock_now()
            had_work = result is not False
            counts_for_step = method.outer and had_work
            recorder.phase(
                phase, wrapped_step if counts_for_step else -1, phase_start, phase_end
            )
            if blocks:
                recorder.wait(wrapped_step, phase_start, phase_end)
            if after_method is not None:
                after_method(result, phase_start, phase_end)
            return result

        return wrapped

    def _before_next_step(self) -> None:
        if not self._begun:
            self._begun = True
            self.clock.start()
            self._running.enter_context(self._recorder.watching_collector())
        if self.before_step is not None:
            wait_start = self.clock.now()
            self.before_step(self.launched)
            self._recorder.overhead(wait_start, self.clock.now())

    def _after_schedule(self, result: Any, start: int, end: int) -> None:
        requests, _, tokens, cached_tokens = result
        if not requests:
            return
        context_tokens = cached_tokens + tokens
        # As a rule each request decodes one token; looking at all of them takes time.
        if tokens == len(requests) and not self._first_tokens_due:
            self._work = StepWork(tokens, tokens, context_tokens, context_tokens, False)
            return
        sampled = sum(request.has_new_token for request in requests)
        attention_pairs = sum(_attention_pairs(request) for request in requests)
        self._work = StepWork(tokens, sampled, context_tokens, attention_pairs, True)

    def _before_compute(self) -> None:
        if self._timer is not None:
            self._timer.begin()

    def _after_compute(self, result: Any, start: int, end: int) -> None:
        events = None if self._timer is None else self._timer.end()
        self._in_flight.append(InFlight(start, end, events, self._work))
        if events is None:
            self._recorder.wait(self.launched, start, end)

    def _after_retrieve(self, result: Any, start: int, end: int) -> None:
        self.launched += 1

    def _after_prepare_update(self, result: Any, start: int, end: int) -> None:
        self._batch_requests = result[0]

    def _after_update(self, result: Any, start: int, end: int) -> None:
        updated_step = self._in_flight.popleft()
        operation = self._operation(updated_step)
        self._recorder.operations(self.updated, (operation,))
        self._busy_ns += operation.end - operation.start
        self.tokens += updated_step.work.sampled
        self.updated += 1
        self.updated_ns = end
        if updated_step.work.first_tokens_due:
            self._note_first_tokens(end)
        self._recorder.overhead(end, self.clock.now())

    def _operation(self, step: InFlight) -> DeviceOperation:
        """Return what a step ran on the device: one operation, the whole forward pass."""
        step_work = step.work
        if step.events is None:  # the call computes, and is launched as it begins
            operation_kind = OperationKind.KERNEL
            call_name, call_end = "compute_batch", step.call_start
            operation_start, operation_end = step.call_start, step.call_end
        else:
            operation_kind = OperationKind.GRAPH
            call_name, call_end = "launch.compute_batch", step.call_end
            operation_start, operation_end = (
                self.clock.at(time_ns) for time_ns in step.events.span()
            )
            operation_start = max(operation_start, step.call_start)
            self._timer.clock.keep()
        return DeviceOperation(
            stream=COMPUTE,
            kind=operation_kind,
            name="forward",
            call=call_name,
            call_start=step.call_start,
            call_end=call_end,
            start=operation_start,
            end=operation_end,
            bytes=self._model.step_bytes(step_work.context_tokens),
            flops=self._model.step_flops(
                step_work.tokens, step_work.sampled, step_work.attention_pairs
            ),
        )

    def _note_first_tokens(self, now: int) -> None:
        for request in self._batch_requests:
            request_state = request.state
            if not request.has_new_token or request_state.generated_len() != 1:
                continue
            if (
                request_state._true_initial_tokens
            ):  # it was put back into the queue, with the tokens it had
                self.preemptions[request_state.request_id] = (
                    self.preemptions.get(request_state.request_id, 0) + 1
                )
            else:
                self.first_tokens[request_state.request_id] = now
                self._first_tokens_due -= 1

    def _timing_from_graph(self, get_graph: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap `get_graph`: the device's time begins where a graph is about to be launched."""

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            cuda_graph = get_graph(*args, **kwargs)
            if cuda_graph is not None:
                self._timer.begin()  # again: what the host did until here kept no device busy
            return cuda_graph

        return wrapped

    def _counting_captures(self, capture_graph: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            capture_start = self.clock.now()
            result = capture_graph(*args, **kwargs)
            self.captured += 1
            self.capture_ns += self.clock.now() - capture_start
            return result

        return wrapped


def _attention_pairs(request: Any) -> int:
    """Return the (query, key) pairs of a request's queries: each sees the tokens up to its own."""
    queries = request.query_length
    cached_tokens = request.state.position_offset
    return queries * (2 * cached_tokens + queries + 1) // 2
