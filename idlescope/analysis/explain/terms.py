"""What numbers are of, and what they are: the terms of the definitions."""

from __future__ import annotations

from idlescope.analysis.explain.entry import Entry, Usually, WordKind


def _term(
    name: str,
    measured: str,
    means: str = "",
    do: str = "",
    also: tuple[str, ...] = (),
    see: tuple[str, ...] = (),
) -> Entry:
    """Return the entry of a term: a definition; in plain words, too, where that is another text."""
    plain = means or f"{measured[:1].upper()}{measured[1:]}."
    return Entry(
        name=name,
        kinds=(WordKind.TERM,),
        means=plain,
        measured=measured,
        do=do,
        also=also,
        see=see,
    )


DEVICE_TERMS = (
    _term(
        "device",
        "a GPU as one process used it: (process, device index), with its UUID or PCI id where the "
        "trace has it",
        also=("gpu",),
    ),
    _term(
        "operation",
        "a kernel, copy or memset that ran on the device, or one record of a whole CUDA graph "
        "(nsys `GRAPH_TRACE`)",
        also=("kernel",),
    ),
    _term(
        "window",
        "from the start of a device's first operation to the end of its last, unless a range, "
        "steps or times are named",
        means="From the start of the first operation on the device to the end of the last.",
        do="Choose another with --window steps:5-20, range:NAME or time:200ms-350ms.",
    ),
    _term(
        "active",
        "time with any operation running on any stream",
        means="Time with any operation running on any stream.",
        do="Active is not useful: look at the roofline.",
        see=("compute", "roofline"),
    ),
    _term(
        "idle",
        "time with nothing running",
        means="Time with nothing running on the device. Its four causes add up to it to the "
        "nanosecond.",
        do="See why by its four causes.",
        also=("idle time",),
        see=("host", "launch", "queued", "unattributed", "compute idle"),
    ),
    _term(
        "compute",
        "time with a kernel or a graph running, on any stream",
        means="Time with a kernel or a graph running.",
        see=("copy only",),
    ),
    _term(
        "compute idle",
        "the window less compute. Both idle figures are always shown: copies can hide idle compute "
        "(one real H100 trace is 0.68 % idle with copies and 97.7 % without)",
        means="Time without a kernel or a graph running: copies can hide it.",
        do="Copy beside the computing, or less.",
        see=("copy only", "copy-bound"),
    ),
    _term(
        "copy only",
        "active less compute",
        means="Time in which only copies and memsets run.",
        see=("copy-bound",),
    ),
    _term(
        "communication",
        "time covered by kernels that move or reduce data between devices (NCCL, RCCL, all-reduce "
        "and all-to-all kernels of engines: `trace/names/communication.py` has the names with "
        "their source). They stay part of compute",
        means="Time covered by kernels that move or reduce data between devices; part of compute.",
        also=("nccl", "rccl", "all-reduce", "collective"),
        see=("exposed communication", "waiting"),
    ),
    _term(
        "exposed communication",
        "time in which of all kernels only communication runs",
        means="Time in which of all kernels only communication runs: nothing covers it.",
        do="Communicate beside the computing, or less.",
        see=("communication-bound", "useful compute"),
    ),
    _term(
        "useful compute",
        "compute less exposed communication",
        see=("exposed communication",),
    ),
    _term(
        "gap",
        "a maximal stretch of idle time, ended by the operations that start at its end; operations "
        "of no length cover nothing and end no gap",
        means="A stretch of idle time, from the end of what ran to the start of what runs next.",
        do="`idlescope analyze TRACE --verbose` lists the longest, with the host's stack.",
        also=("gaps", "longest gaps"),
        see=("host", "launch", "queued", "unattributed"),
    ),
    _term(
        "roofline",
        "time the work would need at the GPU's peak bytes/s and FLOP/s, as a share of the window: "
        "active is not the same as useful",
        means="Time that the work would need at the GPU's peak bandwidth and FLOP/s, as a share of "
        "the window.",
        do="`idlescope analyze TRACE --model 8b --batch-size 32 --context 4000`.",
        also=("roofline while active",),
    ),
)

REQUEST_TERMS = (
    _term(
        "TTFT",
        "of a request: from its arrival until its first token is on the host; time in the queue "
        "counts, and preemption later does not change it",
        means="Time to first token: from the arrival of a request until its first token is on the "
        "host, queueing included.",
        also=("time to first token",),
    ),
    _term(
        "time per output token",
        "of a request: the mean time between its tokens after the first, (last − first token) / "
        "(output tokens − 1); a request of one token has none",
        means="Mean time between the tokens of one request after its first; requests of one token "
        "have none.",
        also=("TPOT", "inter-token latency", "ITL"),
    ),
    _term(
        "latency",
        "of a request: from its arrival until its last token is on the host",
        means="From the arrival of a request to its last token.",
        also=("end-to-end latency",),
    ),
)

METHOD_TERMS = (
    Entry(
        name="step",
        kinds=(WordKind.TERM, WordKind.HOST),
        means="One iteration of the batching loop: one forward pass and the host's work for it. As "
        "what the host did: within a step's span, and in none of its phases.",
        measured="one forward pass and the host's work for it: named by the recording, else from "
        "one span of a known engine to the next, else `ProfilerStep#`, else cut where the host "
        "stopped waiting between launches",
        usually=Usually(
            vllm="Python within `execute_…`: its finer spans are off unless "
            "`VLLM_CUSTOM_SCOPES_FOR_PROFILING=1`.",
            sglang="Python between its spans.",
            trtllm="Python between its ranges.",
            own="What is in a step and in no range.",
        ),
        do="Give the spans of an engine that is not known with --phases FILE; put ranges around "
        "the phases of a loop of your own.",
        also=("steps", "iteration"),
        see=("idle per step", "not told"),
    ),
    _term(
        "idle per step",
        "idle without pauses and without that for want of requests / steps, in ms",
        means="Idle time that one step costs: the figure that survives a faster GPU, where a "
        "percentage does not.",
        do="Give `check` a limit of it: --max-idle-ms-per-step 0.3.",
        see=("step", "per step"),
    ),
    _term(
        "host work",
        "what the host does for a step, without waiting for the device, for ranks or processes",
        means="What the host does for a step: scheduling, preparing, launching, updating.",
        do="Hide it behind the device, or shorten it.",
        also=("host work per step", "host time"),
        see=("host", "synchronous"),
    ),
    _term(
        "batching",
        "by which step each wait of the launching thread was for, and by how many steps were "
        "launched before the step before them had ended",
        means="How steps follow one another: synchronous, asynchronous, serialised, or not told.",
        see=("synchronous", "asynchronous", "serialised", "not told"),
    ),
    _term(
        "coverage",
        "the smallest of the shares of operations with a known launch, graph launches with "
        "operations under them, and launches whose operations were not lost, in the window",
        means="How much of what ran the recording holds.",
        do="Give `check` a limit of it: --min-coverage 95%.",
        see=("cannot tell", "bounds"),
    ),
    _term(
        "bounds",
        "idle with everything that may be missing running, to idle as recorded",
        means="Between which figures idle lies, where records are missing or cannot be right.",
        do="A limit of `check` between the bounds is not kept: record again.",
        also=("idle between", "bound"),
        see=("coverage",),
    ),
    _term(
        "prediction",
        "the steps replayed with two in flight, each with its own host work, launch latency, "
        "copies and compute; refused where the steps replayed as they are come out more than 10 % "
        "off what was recorded",
        means="What asynchronous batching would give, from the steps that were recorded.",
        do="`idlescope predict TRACE`, with --host, --device, --graphs or --pinned for further "
        "changes.",
        also=("predict", "what-if"),
        see=("synchronous",),
    ),
    _term(
        "without the profiler",
        "1 − busy time per step / the step time without the profiler, where that is known "
        "(--step-ms, or what `capture` noted), else an estimate that is called one; of a watch by "
        "CUPTI what launching its CUDA graphs took beyond 20 µs is taken off, and 1.2 and 0.5 µs "
        "for each kernel and copy besides",
        means="Idle as it is unwatched: a profiler makes steps longer, and in a synchronous loop "
        "all of that is idle time.",
        do="Measure a step without the profiler and give --step-ms, or record with `idlescope "
        "capture`, which notes it.",
        also=("observer", "observer effect"),
        see=("profiler overhead",),
    ),
    _term(
        "noise",
        "from how recordings of one side differ, or how 16 stretches of the steps do, at 95 % for "
        "all figures at once",
        means="How far a figure may differ between two recordings of the same thing.",
        do="Give several recordings of each side: `idlescope compare a1 a2 a3 vs b1 b2 b3`.",
        see=("creep",),
    ),
    _term(
        "creep",
        "the median of the last five commits' figure less the lowest median of five commits in a "
        "row before them, where that is more than 10 % of it (or --max-creep), than three times "
        "the noise of neighbouring commits, and than 1 % of a step",
        means="A figure that many commits made worse, each by less than noise.",
        do="`idlescope check TRACE --history FILE --max-creep 10%` fails on it; the trend says "
        "which commits added most.",
        also=("trend", "drift", "history", "jump"),
        see=("noise", "idle per step"),
    ),
)

TERMS = (*DEVICE_TERMS, *REQUEST_TERMS, *METHOD_TERMS)
