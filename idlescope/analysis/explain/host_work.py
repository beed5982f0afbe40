"""What the host did during `host` idle, in the order in which time is charged."""

from __future__ import annotations

from idlescope.analysis.explain.entry import Entry, Usually, WordKind
from idlescope.analysis.explain.phases import PHASES

BEFORE_PHASES = (
    Entry(
        name="profiler overhead",
        kinds=(WordKind.HOST,),
        means="The profiler's own work, which an unwatched run has not.",
        measured="spans that the profiler writes of itself, of processes that make calls",
        usually=Usually(
            vllm="Buffers that are flushed while the recording goes on.",
            sglang="The same, more of it with stacks and shapes.",
            trtllm="nsys that flushes its buffers.",
            own="profile_memory, with_stack or record_shapes of torch.profiler.",
        ),
        do="Record fewer steps, without stacks, shapes and memory.",
        see=("without the profiler",),
    ),
    Entry(
        name="waiting call",
        kinds=(WordKind.HOST,),
        means="The launching thread is blocked in a call that waits for the device; the device "
        "has nothing to run.",
        measured="within a synchronising call (`call: NAME`), or a copy of memory that is not "
        "pinned that returned only when it was done; calls of 100 µs that wait for nothing "
        "(`cudaMalloc`, `cuModuleLoadData`) are named so, too",
        usually=Usually(
            vllm="`cudaEventSynchronize`, for the tokens of a step.",
            sglang="`cudaMemcpyAsync` to pageable memory, for the tokens of a step.",
            trtllm="`cudaEventSynchronize` in `_update_requests`.",
            own="`cudaStreamSynchronize` under `.item()`, `.tolist()`, `.cpu()` or print.",
        ),
        do="Waking up takes microseconds; more means that the call waits for something else: look "
        "at the longest gaps.",
        also=("call", "synchronising call", "cudaEventSynchronize", "cudaStreamSynchronize",
              "cudaDeviceSynchronize", "hipStreamSynchronize", "hipEventSynchronize"),
        see=("serialised", "synchronous"),
    ),
    Entry(
        name="garbage collection",
        kinds=(WordKind.HOST,),
        means="Python looked for cycles of objects to free, and everything else stood still.",
        measured="within a collection that was recorded on the launching thread",
        usually=Usually(
            vllm="Many objects per request; it freezes those of its start-up, later ones count.",
            sglang="Full collections under high concurrency (`--gc-warning-threshold-secs` "
            "reports them).",
            trtllm="`garbage_collection_gen0_threshold` too low for the batch.",
            own="gc with Python's default thresholds in a process with millions of objects.",
        ),
        do="gc.freeze() after start-up, higher thresholds, or a collection where no step waits.",
        also=("gc",),
        see=("pauses",),
    ),
)  # fmt: skip

AFTER_PHASES = (
    Entry(
        name="range",
        kinds=(WordKind.HOST,),
        means="The innermost span, operator or Python frame around the time, which is of no known "
        "phase (`range: NAME`).",
        measured="within a range, operator or frame of no phase",
        usually=Usually(
            vllm="Spans of a plugin or of a newer release.",
            sglang="The same.",
            trtllm="The same.",
            own="Your own `record_function` or NVTX ranges, and PyTorch's operators.",
        ),
        do="Give its phase with --phases FILE; the name says where to look.",
        see=("untraced",),
    ),
    Entry(
        name="waits for another process",
        kinds=(WordKind.HOST,),
        means="A Python frame of the launching thread polls or receives from another process.",
        measured="within a frame that is known to wait for another process, for 100 µs and more",
        usually=Usually(
            vllm="A worker waits in `shm_broadcast` for EngineCore to schedule.",
            sglang="The scheduler receives from the tokenizer over ZeroMQ.",
            trtllm="A worker waits for the proxy's queue.",
            own="`multiprocessing.Queue.get`, a socket.",
        ),
        do="Record the other process, too: its work is what the device waits for.",
        also=("shm_broadcast", "sched_yield", "zmq"),
        see=("waits for another thread", "schedule"),
    ),
    Entry(
        name="waits for another thread",
        kinds=(WordKind.HOST,),
        means="A Python frame of the launching thread waits for another thread's queue.",
        measured="within a frame that is known to wait for another thread, for 100 µs and more",
        usually=Usually(
            vllm="An output thread, or a KV connector's.",
            sglang="A grammar that another thread compiles.",
            trtllm="The sampler's or the responses' thread.",
            own="`queue.Queue.get`; two Python threads also share one interpreter lock.",
        ),
        do="Look at what that thread does meanwhile; record with all threads.",
        see=("waits for another process",),
    ),
    Entry(
        name="between",
        kinds=(WordKind.HOST,),
        means="Nothing was recorded in this time; what stands before and after it is named "
        "(`between forward and schedule`, `step: between X and Y`).",
        measured="untraced time, by its neighbours on the launching thread",
        usually=Usually(
            vllm="Python between its spans: the optional ones are off "
            "(`VLLM_CUSTOM_SCOPES_FOR_PROFILING=1`).",
            sglang="Python between its spans.",
            trtllm="Python and C++ between its ranges.",
            own="Code without ranges.",
        ),
        do="Put ranges around it (`idlescope.range`), or record Python stacks for a few steps.",
        see=("untraced",),
    ),
    Entry(
        name="untraced",
        kinds=(WordKind.HOST,),
        means="Nothing was recorded in this time, and nothing tells what the host did.",
        measured="what none of the others covers",
        usually=Usually(
            vllm="Its optional spans are off, and no stacks were recorded.",
            sglang="No stacks were recorded.",
            trtllm="`TLLM_PROFILE_START_STOP` without NVTX ranges.",
            own="No ranges around the loop's phases.",
        ),
        do="Put ranges around the loop's phases (`idlescope.range`), or record Python stacks for "
        "a few steps.",
        see=("between",),
    ),
)

HOST_WORK = (*BEFORE_PHASES, *PHASES, *AFTER_PHASES)
