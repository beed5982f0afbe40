"""The four causes of a gap, which add up to idle to the nanosecond."""

from __future__ import annotations

from idlescope.analysis.explain.entry import Entry, Usually, WordKind

CAUSES = (
    Entry(
        name="host",
        kinds=(WordKind.CAUSE,),
        means="The device ran dry and the host had not issued the next work: the batching bubble.",
        measured="from the start of the gap to that of the launch call",
        usually=Usually(
            vllm="Scheduling and input preparation after the last step's tokens are back.",
            sglang="`get_next_batch_to_run` and `process_batch_result` with overlap off.",
            trtllm="`_schedule`, `_prepare_inputs` and response handling with overlap off.",
            own="Everything in Python between reading tokens and the next launch.",
        ),
        do="See what the host did in it, then hide it (asynchronous batching) or shorten it.",
        also=("host idle", "bubble", "batching bubble"),
        see=("synchronous", "host work", "launch"),
    ),
    Entry(
        name="launch",
        kinds=(WordKind.CAUSE,),
        means="The work was issued too late: its launch call had not returned when the device ran "
        "dry. Kernels shorter than the host takes to launch one end here, and launch calls that "
        "themselves last.",
        measured="the rest of the gap, if the launch call had not returned when it began",
        usually=Usually(
            vllm="Eager kernels, or a profiler that makes `cudaGraphLaunch` 1.3 to 1.9 ms long.",
            sglang="The same.",
            trtllm="The same; large graphs that are uploaded at their launch.",
            own="Many small kernels, launched one by one.",
        ),
        do="Use CUDA graphs, or fewer and larger kernels; where graphs are in use, compare with "
        "the step time without the profiler (--step-ms).",
        also=("launch latency",),
        see=("launch-bound", "without the profiler"),
    ),
    Entry(
        name="queued",
        kinds=(WordKind.CAUSE,),
        means="The work was issued in time and waited in a stream, on an event or inside a graph.",
        measured="the rest of the gap, if the launch call had returned when it began",
        usually=Usually(
            vllm="About 0.4 µs between the nodes of a graph; events between streams.",
            sglang="The same; the forward stream waits for the copy of its inputs.",
            trtllm="The same.",
            own="`wait_event`, copies that a kernel depends on, many small graph nodes.",
        ),
        do="Find the event, stream or copy in Perfetto (`idlescope view TRACE --perfetto`); fewer "
        "and larger nodes per graph.",
        also=("queue",),
        see=("queue-bound",),
    ),
    Entry(
        name="unattributed",
        kinds=(WordKind.CAUSE,),
        means="No launch was recorded for what ended the gap: the trace cannot tell why it is "
        "there.",
        measured="the whole gap, if no launch call was recorded",
        usually=Usually(
            vllm="The recording began while a step was in flight.",
            sglang='The same; device records only (`activities: ["GPU"]`).',
            trtllm="An nsys recording without `--trace=cuda` for the launching process.",
            own="torch.profiler without ProfilerActivity.CPU.",
        ),
        do="Record the runtime's calls (CUDA, HIP) and start the profiler some steps earlier.",
        see=("coverage", "cannot tell"),
    ),
)
