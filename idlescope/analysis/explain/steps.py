"""How steps follow one another, and how idle is spread over them."""

from __future__ import annotations

from idlescope.analysis.explain.entry import Entry, Usually, WordKind

STEPS = (
    Entry(
        name="not told",
        kinds=(WordKind.BATCHING,),
        means="Nothing in the trace tells how steps follow one another.",
        measured="fewer than three steps, or no step launched early and no wait of the launching "
        "thread",
        usually=Usually(
            vllm="A rank other than the one that returns tokens waits for nothing.",
            sglang="A window of few steps.",
            trtllm="Ranges of the executor are in another process.",
            own="No ranges, and no graph launches by which steps could be told.",
        ),
        do="Name the steps (`idlescope.range(\"step\", step=n)`, or profiler.step()), or give the "
        "traces of all ranks.",
        see=("step",),
    ),
    Entry(
        name="per step",
        kinds=(WordKind.SPREAD,),
        means="Idle is a cost of every step: a mean per step says it.",
        measured="neither pauses nor a lack of requests hold most of idle",
        usually=Usually(
            vllm="Synchronous batching, or a host that is the slower side.",
            sglang="The same.",
            trtllm="The same.",
            own="The same.",
        ),
        do="Read the verdict.",
        see=("pauses", "idle per step"),
    ),
    Entry(
        name="pauses",
        kinds=(WordKind.SPREAD,),
        means="A few long gaps hold most of idle: no cost of each step.",
        measured="gaps of at least two usual steps hold at least half of idle, and the engine "
        "had requests",
        usually=Usually(
            vllm="Garbage collection, a process that was descheduled, a first use of a kernel.",
            sglang="The same; compilation of a grammar.",
            trtllm="The same.",
            own="The same; a checkpoint or a log that is written.",
        ),
        do="See what the host did in them: the verdict names it, `--verbose` lists the longest.",
        also=("pause", "stall"),
        see=("garbage collection", "untraced"),
    ),
    Entry(
        name="none",
        kinds=(WordKind.SPREAD,),
        means="There is no idle time to be spread.",
        measured="idle is zero",
        usually=Usually(
            vllm="The device is never idle.",
            sglang="The device is never idle.",
            trtllm="The device is never idle.",
            own="The device is never idle.",
        ),
        do="Look at compute idle and at the roofline.",
        see=("busy",),
    ),
)  # fmt: skip
