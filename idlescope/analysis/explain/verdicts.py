"""The verdicts on a device, in the order in which they are judged: the first that fits."""

from __future__ import annotations

from idlescope.analysis.explain.entry import Entry, Usually, WordKind

VERDICTS = (
    Entry(
        name="cannot tell",
        kinds=(WordKind.VERDICT, WordKind.RANKS, WordKind.COMPARISON),
        means="The recording lacks what a verdict needs, and a verdict would be a guess.",
        measured="records are missing or contradict one another (README of analysis, Coverage), or "
        "no launch call was recorded for most of idle",
        usually=Usually(
            vllm="The window is too long for the profiler's buffers, or the recording began while "
            "a CUDA graph was captured at start-up.",
            sglang="Stacks and shapes are on unless told otherwise, and fill the buffers: records "
            "of the device are dropped.",
            trtllm="The export holds the host's ranges only, or one of several processes.",
            own="torch.profiler without ProfilerActivity.CUDA, another tool on CUPTI, or a script "
            "that ended before the profiler had written its file.",
        ),
        do="Record fewer steps, without stacks and shapes, with CUDA API calls and device activity "
        "both on. The verdict says which record is missing; `idlescope doctor` says what this "
        "machine can record.",
        also=("unknown", "no verdict", "insufficient data"),
        see=("coverage", "bounds"),
    ),
    Entry(
        name="no demand",
        kinds=(WordKind.VERDICT, WordKind.HOST, WordKind.SPREAD),
        means="The engine had no request, or could schedule none: the device waits for work, not "
        "for the host.",
        measured="batches of no request are most of the active time; or idle in which the engine "
        "had no request, or scheduled no token, is most of idle",
        usually=Usually(
            vllm="The load is low, or requests wait for KV blocks: steps named "
            "`…_0(0)_generation_0(0)` scheduled nothing. Ranks without requests run dummy batches.",
            sglang="The scheduler polls for requests (`scheduler.idle`), or a data-parallel rank "
            "runs `step[IDLE bs=0]` for the others.",
            trtllm="`_fetch_new_requests` waits for the queue, or attention data parallelism pads "
            "a rank with a dummy request.",
            own="The client sends the next request only when the answer to the last is there.",
        ),
        do="Send more load before you judge the engine. Where requests wait for KV blocks, give "
        "the cache more memory; where a rank has none, route requests to all ranks.",
        also=("idle phase", "no requests"),
        see=("pauses", "dummy batches"),
    ),
    Entry(
        name="copy-bound",
        kinds=(WordKind.VERDICT,),
        means="For much of the time the device only copies: it looks active and computes nothing.",
        measured="only copies run in at least 25 % of the window, and longer than the device is "
        "idle",
        usually=Usually(
            vllm="KV cache offload to the host, or weights that are streamed in "
            "(`--cpu-offload-gb`).",
            sglang="Hierarchical cache (`--enable-hierarchical-cache`) that writes back or loads "
            "on the compute's critical path.",
            trtllm="KV cache host offload, or disaggregated serving that hands over the cache.",
            own="Inputs or caches copied from memory that is not pinned, or on the compute stream.",
        ),
        do="Copy less, or beside the computing: from pinned memory, on a stream of its own.",
        see=("copy only", "compute idle"),
    ),
    Entry(
        name="communication-bound",
        kinds=(WordKind.VERDICT,),
        means="For much of the time only communication with other devices runs; a part of it may "
        "be waiting for a late rank.",
        measured="only communication runs in at least 25 % of the window, and longer than the "
        "device is idle",
        usually=Usually(
            vllm="Tensor parallelism over PCIe, or expert all-to-all that nothing covers "
            "(`--enable-dbo` overlaps two batches).",
            sglang="Expert parallelism without two-batch overlap (`--enable-two-batch-overlap`).",
            trtllm="All-reduce over links without NVLink, or attention data parallelism with "
            "uneven ranks.",
            own="An all-reduce after each layer of a small batch.",
        ),
        do="Communicate beside the computing (two batches at a time), or less: fewer ranks per "
        "replica. Analyse the traces of all ranks: how much of it is waiting, only they tell.",
        see=("exposed communication", "waiting"),
    ),
    Entry(
        name="busy",
        kinds=(WordKind.VERDICT,),
        means="The device is hardly idle: what is left to gain is in its own work.",
        measured="less than 2 % idle",
        usually=Usually(
            vllm="Asynchronous scheduling works and the host is the faster side.",
            sglang="The overlap scheduler works and the host is the faster side.",
            trtllm="The overlap scheduler works and the host is the faster side.",
            own="The next step is launched before the last one has ended.",
        ),
        do="Nothing about the host. Look at compute idle (copies can hide it) and at the roofline: "
        "active is not the same as useful.",
        see=("compute idle", "roofline"),
    ),
    Entry(
        name="cold start",
        kinds=(WordKind.VERDICT,),
        means="Most of the idle time is paid once, before the first steps: modules are loaded, "
        "memory is allocated, kernels are tuned.",
        measured="at least half of idle falls into calls of 10 ms and more, none of them a wait, "
        "that precede most operations; the window that leaves them out is named",
        usually=Usually(
            vllm="The recording began with the first request: Triton and FlashInfer kernels are "
            "compiled on their first use.",
            sglang="The same; DeepGEMM and Triton compile for each new shape.",
            trtllm="The autotuner runs in the first iterations.",
            own="Lazy loading of CUDA modules, cuBLAS handles, the caching allocator.",
        ),
        do="Leave it out with the --window that the verdict names, or send requests for some "
        "seconds before you record.",
        also=("warm-up",),
        see=("window",),
    ),
    Entry(
        name="launch-bound",
        kinds=(WordKind.VERDICT,),
        means="Kernels are shorter than the host takes to launch them one by one, so that the "
        "device runs dry between them.",
        measured="at least half of idle lies in many gaps, each of at most 1 ms, between kernels "
        "of one step that were launched one by one, not before a graph that is most of the step; "
        "or `launch` is the largest of the four causes, and nothing tells how steps are batched",
        usually=Usually(
            vllm="`--enforce-eager`, or a batch beyond the largest captured size "
            "(`cudagraph_capture_sizes`).",
            sglang="`--disable-cuda-graph`, or a batch beyond `--cuda-graph-max-bs`.",
            trtllm="No `cuda_graph_config`, or batch sizes between the captured ones without "
            "`enable_padding`.",
            own="An eager decode step: about a thousand launches of 5 µs each.",
        ),
        do="Capture the step as a CUDA graph, or use fewer and larger kernels (torch.compile). "
        "`idlescope predict --graphs` says what that would give.",
        also=("eager",),
        see=("launch",),
    ),
    Entry(
        name="synchronous",
        kinds=(WordKind.VERDICT, WordKind.BATCHING),
        means="The host waits for each step's tokens before it begins the next one, so that the "
        "device waits for the host's work in every step.",
        measured="at most half of the steps were launched before the step before them had ended, "
        "and the launching thread waits for the end of most",
        usually=Usually(
            vllm="Asynchronous scheduling is off (`--no-async-scheduling`), or a feature that is "
            "in use turns it off.",
            sglang="`--disable-overlap-schedule`, or a feature that turns overlap off.",
            trtllm="`disable_overlap_scheduler: true`.",
            own="`.item()`, `.tolist()` or `.cpu()` on the sampled tokens, then the next batch.",
        ),
        do="Batch asynchronously: vLLM --async-scheduling, SGLang without "
        "--disable-overlap-schedule, TensorRT-LLM disable_overlap_scheduler: false; in a loop of "
        "your own keep the sampled tokens on the device and read them a step later. "
        "`idlescope predict` says what that would give.",
        also=("sync", "synchronous batching"),
        see=("asynchronous", "serialised", "prediction"),
    ),
    Entry(
        name="serialised",
        kinds=(WordKind.VERDICT, WordKind.BATCHING),
        means="The loop is meant to be asynchronous, but a wait before each launch, or inside each "
        "step, lets the device run dry.",
        measured="as synchronous, though meant to be asynchronous: the next step is begun while "
        "the last one runs, but a wait before its launch sits that out; or a copy that is "
        "asynchronous by name blocks. The call is named, with count and cost",
        usually=Usually(
            vllm="Speculative decoding that reads how many tokens were accepted "
            "(`_get_valid_sampled_token_count`), or structured output.",
            sglang="A grammar that needs the last token (`grammar: accept+fill`), or a `.tolist()` "
            "in the preparation of a batch.",
            trtllm="Guided decoding, or a sampler that waits in `_update_requests`.",
            own="An `.item()` in the loop, or `non_blocking=True` on memory that is not pinned: "
            "that copy blocks all the same.",
        ),
        do="Remove the wait that is named: pinned memory for a copy; leave the value on the "
        'device, or read it a step later. torch.cuda.set_sync_debug_mode("warn") names the lines '
        "of a loop of your own.",
        also=("serialized",),
        see=("synchronous", "waiting call"),
    ),
    Entry(
        name="asynchronous",
        kinds=(WordKind.VERDICT, WordKind.BATCHING),
        means="The host prepares the next step while the device runs this one; what idle is left "
        "has another cause.",
        measured="more than half of the steps were launched early, or begun early by a host that "
        "is too slow",
        usually=Usually(
            vllm="Prefills and new requests between decode steps, garbage collection, work after "
            "the launch that takes longer than a step.",
            sglang="The same; batches that are merged or filtered when requests end.",
            trtllm="The same; a rank that waits for another in `_can_queue`.",
            own="Whatever the longest gaps say.",
        ),
        do="Batching is not the cause: look at the longest gaps (`idlescope analyze --verbose`).",
        also=("async", "asynchronous batching", "overlap"),
        see=("synchronous", "gap"),
    ),
    Entry(
        name="asynchronous, but the host is the slower side",
        kinds=(WordKind.VERDICT,),
        means="The host begins the next step early and is still late: its work for a step takes "
        "longer than the device's.",
        measured="batching is asynchronous by what the host waits for, most steps are launched "
        "late, and the host works for its steps for longer than the device",
        usually=Usually(
            vllm="A small model on a fast GPU; many requests per batch; Python work per request "
            "(logprobs, penalties, structured output).",
            sglang="The same; `get_next_batch_to_run` and `process_batch_result` grow with the "
            "batch.",
            trtllm="The same; `_handle_responses` grows with the batch.",
            own="Work per request in Python, once per step.",
        ),
        do="Shorten the host's work: the table of what the host did says which part. Asynchronous "
        "batching has given what it can.",
        also=("host limited", "host is slower", "host is the slower side"),
        see=("host-bound", "host work"),
    ),
    Entry(
        name="host-bound",
        kinds=(WordKind.VERDICT,),
        means="The device runs dry because the host works for longer than the device; how its "
        "steps are batched is not told.",
        measured="`host` is the largest of the four causes, and no steps are known, or nothing "
        "tells how they are batched and the host works for them for longer than the device",
        usually=Usually(
            vllm="Scheduling, preparation and detokenization for many requests; too few cores.",
            sglang="The same; the tokenizer and the scheduler share cores.",
            trtllm="The same; request handling in Python.",
            own="Tokenization, sampling or logging between steps.",
        ),
        do="Shorten the host's work: the table of what the host did says which part; give the "
        "process cores of its own.",
        see=("host", "host work exposed"),
    ),
    Entry(
        name="host work exposed",
        kinds=(WordKind.VERDICT,),
        means="The host works for less time than the device, but not behind it: the device waits "
        "for work that could be hidden.",
        measured="as host-bound, but the host works for its steps for no longer than the device",
        usually=Usually(
            vllm="A step's preparation follows the last step's end.",
            sglang="The same, with overlap off.",
            trtllm="The same, with the overlap scheduler off.",
            own="The loop prepares the next batch after it has read the tokens.",
        ),
        do="Hide the host's work behind the device's: asynchronous batching.",
        see=("synchronous", "host-bound"),
    ),
    Entry(
        name="queue-bound",
        kinds=(WordKind.VERDICT,),
        means="The work was issued in time, but waited in a stream, on an event or inside a graph.",
        measured="`queued` is the largest of the four causes, and nothing tells how steps are "
        "batched",
        usually=Usually(
            vllm="Waits between streams: KV transfer, a draft model, copies of outputs.",
            sglang="Waits between the forward stream and the copy stream.",
            trtllm="Graph nodes that depend on one another, events between streams.",
            own="`stream.wait_event`, default-stream synchronisation, many small graph nodes.",
        ),
        do="Look at what its streams wait for (events, other streams, latency within graphs): "
        "batching changes nothing about that.",
        see=("queued",),
    ),
)
