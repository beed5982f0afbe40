"""Intel's GPUs, as torch.profiler writes them (libkineto, plugin/xpupti): no stream, but a SYCL queue."""

from __future__ import annotations

import json

from idlescope.trace.open import open_trace
from tests.make.kineto_files import us
from tests.make.known_work import COPY, KERNEL, OPERATOR, SET, Known, assert_holds, steps

CATEGORIES = {KERNEL: "kernel", COPY: "gpu_memcpy", SET: "gpu_memset"}
CALLS = {"hipLaunchKernel": "urEnqueueKernelLaunch", "hipMemcpyAsync": "urEnqueueUSMMemcpy",
         "hipMemsetAsync": "urEnqueueUSMFill", "hipStreamSynchronize": "urQueueFinish"}  # fmt: skip
PID = 4131


def document(known: Known) -> dict:
    """What a process did on Intel's GPUs, as libkineto writes it."""

    def event(category, name, start, end, pid, tid, args):
        return {"ph": "X", "cat": category, "name": name, "pid": pid, "tid": tid, "ts": us(start),
                "dur": us(end - start), "args": args}  # fmt: skip

    events = [
        event("xpu_runtime", call.name, call.start, call.end, PID, call.thread, {"l0 call": "zeX", "correlation": call.launch})
        for call in known.calls
    ]  # fmt: skip
    for span in known.spans:
        category = "cpu_op" if span.kind == OPERATOR else "user_annotation"
        events.append(
            event(
                category,
                span.name,
                span.start,
                span.end,
                PID,
                span.thread,
                {"External id": 5},
            )
        )
    for work in known.work:
        args = {"appended": 1, "submitted": 1, "device": work.device, "context": "0x000055d08918fc78", "sycl queue": 64,
                "l0 queue": "0x000055d08b8fc138", "correlation": work.launch}  # fmt: skip
        if work.bytes:
            args["bytes"] = work.bytes
        events.append(
            event(
                CATEGORIES[work.kind],
                work.name,
                work.start,
                work.end,
                work.device,
                64,
                args,
            )
        )
    return {"schemaVersion": 1, "traceEvents": events}


def test_every_record_and_figure_is_that_of_the_program(tmp_path):
    made = steps(base=1_000_000, devices=2)
    calls = [call._replace(name=CALLS[call.name]) for call in made.calls]
    known = Known(made.work, calls, made.spans)
    path = tmp_path / "xpu.json"
    path.write_text(json.dumps(document(known)))
    trace = open_trace(path)
    assert_holds(trace, known)
    assert trace.streams == ("64",)
