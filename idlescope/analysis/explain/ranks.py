"""The verdicts on a group of ranks, in the order in which they are judged, and their numbers."""

from __future__ import annotations

from idlescope.analysis.explain.entry import Entry, Usually, WordKind

RANKS = (
    Entry(
        name="dummy batches",
        kinds=(WordKind.RANKS,),
        means="Ranks without requests step along for the others and do no useful work.",
        measured="a rank has no request, and runs forward passes of no request, while others work",
        usually=Usually(
            vllm="Data parallelism with expert parallelism: `execute_dummy_batch`.",
            sglang="Attention data parallelism: `step[IDLE bs=0]`.",
            trtllm="Attention data parallelism: `_pad_attention_dp_dummy_request`.",
            own="Collectives that every rank must join.",
        ),
        do="Send requests to all ranks, or serve with fewer data-parallel ranks.",
        also=("dummies",),
        see=("no demand",),
    ),
    Entry(
        name="no communication",
        kinds=(WordKind.RANKS,),
        means="These devices exchanged nothing, so each is by itself.",
        measured="no communication kernel on any of them",
        usually=Usually(
            vllm="Replicas (data parallelism without experts).",
            sglang="Replicas.",
            trtllm="Replicas; or graphs recorded as one piece, which hide their kernels.",
            own="Replicas.",
        ),
        do="Judge each by itself. Where they should communicate, record graphs kernel by kernel.",
        see=("communication",),
    ),
    Entry(
        name="pipeline",
        kinds=(WordKind.RANKS,),
        means="The ranks are stages, and wait for one another in sends and receives.",
        measured="a rank waits for at least 5 % of its time at work, most in sends and receives",
        usually=Usually(
            vllm="Pipeline parallelism with fewer batches in flight than stages.",
            sglang="`--pp-size` with too few micro-batches (`--pp-async-batch-depth`).",
            trtllm="Pipeline parallelism with `pp_size` micro-batches that differ in length.",
            own="One batch that walks through the stages.",
        ),
        do="Keep as many batches in flight as there are stages, and move layers from the stage "
        "that has most to do.",
        also=("pipeline bubble",),
        see=("waiting",),
    ),
    Entry(
        name="balanced",
        kinds=(WordKind.RANKS,),
        means="No rank waits much for another: what all have in common is what to mend.",
        measured="no rank waits for 5 % of its time at work",
        usually=Usually(
            vllm="Tensor parallelism on one host.",
            sglang="Tensor parallelism on one host.",
            trtllm="Tensor parallelism on one host.",
            own="Equal work on equal devices.",
        ),
        do="Read the verdict of any rank (--rank N), and exposed communication.",
        see=("exposed communication",),
    ),
    Entry(
        name="one rank's host is late",
        kinds=(WordKind.RANKS,),
        means="All wait for one rank, whose device stood idle because its host was late.",
        measured="60 % of all waiting is for one rank (or some that are late together), and its "
        "device was idle for longer for most of it, because of its host",
        usually=Usually(
            vllm="Rank 0 schedules, samples and returns tokens; its process shares cores.",
            sglang="Rank 0 receives requests and broadcasts them.",
            trtllm="Rank 0 handles responses.",
            own="Logging, checkpoints or tokenization on rank 0 only.",
        ),
        do="Read that rank's own details (--rank N): shorten or hide its host's work, or give it "
        "cores of its own.",
        also=("late host",),
        see=("host", "one rank computes longer"),
    ),
    Entry(
        name="one rank computes longer",
        kinds=(WordKind.RANKS,),
        means="All wait for one rank, whose device has more to do, or does it more slowly.",
        measured="60 % of all waiting is for one rank, and its device computed for longer for "
        "most of it",
        usually=Usually(
            vllm="Uneven batches of data-parallel ranks; experts that many tokens choose.",
            sglang="The same (`--enable-eplb` balances experts).",
            trtllm="The same; `attention_dp` without balancing.",
            own="A device that is throttled, or shared with another process.",
        ),
        do="Balance requests or experts over the ranks; compare clocks and temperatures.",
        also=("straggler",),
        see=("one rank's host is late",),
    ),
    Entry(
        name="one rank is late",
        kinds=(WordKind.RANKS,),
        means="All wait for one rank; why is not told.",
        measured="60 % of all waiting is for one rank, and neither idle nor compute explains most "
        "of it",
        usually=Usually(
            vllm="Launches that come late, waits in a stream.",
            sglang="The same.",
            trtllm="The same.",
            own="The same.",
        ),
        do="Read that rank's own details (--rank N).",
        see=("one rank's host is late", "one rank computes longer"),
    ),
    Entry(
        name="late by turns",
        kinds=(WordKind.RANKS,),
        means="The ranks wait for one another, now for this one, now for that.",
        measured="ranks wait for at least 5 % of the time at work, and for none in 60 % of it",
        usually=Usually(
            vllm="Hosts with jitter: shared cores, garbage collection at other times per rank.",
            sglang="The same; data-parallel ranks with other batches.",
            trtllm="The same.",
            own="The same.",
        ),
        do="Shorten or hide the host's work of all ranks; pin processes to cores.",
        also=("by turns", "jitter"),
        see=("waiting",),
    ),
    Entry(
        name="waiting",
        kinds=(WordKind.TERM,),
        means="Time in which a rank is in a collective that another has not joined yet: idleness "
        "of another rank that looks like activity here.",
        measured="of one call: from its start to that of the last rank's. Of a rank: time in which "
        "it communicates and waits in all of its calls",
        do="See who was last, and why: `idlescope analyze FOLDER`.",
        also=("waiting in a collective", "rank skew"),
        see=("transfer", "exposed waiting", "last"),
    ),
    Entry(
        name="transfer",
        kinds=(WordKind.TERM,),
        means="Time in which a collective really moves data: all ranks have joined.",
        measured="the rest of its communication: the last rank has joined. Waiting + transfer + "
        "unmatched = communication, to the nanosecond",
        see=("waiting", "communication"),
    ),
    Entry(
        name="exposed waiting",
        kinds=(WordKind.TERM,),
        means="Waiting that no compute covers: the share that tables show.",
        measured="waiting while nothing is computed: the share that tables show",
        see=("waiting",),
    ),
    Entry(
        name="last",
        kinds=(WordKind.TERM,),
        means="The rank that the others waited for in a call.",
        measured="the rank that began last. Its host was late where its device stood idle longer "
        "than that of the rank that waits, since the collective before; it computes longer where "
        "that is the difference",
        also=("last rank", "late rank"),
        see=("waiting",),
    ),
)
