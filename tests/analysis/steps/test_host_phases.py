"""Steps and phases of the host are known without any device."""

import idlescope
from tests.make.kineto_files import span, write

SCHEDULE, RUN_BATCH = "scheduler.get_next_batch_to_run", "scheduler.run_batch"


def host_phases(tmp_path, *events):
    analysis = idlescope.analyze(idlescope.open(write(tmp_path / "t.json", list(events))))
    return analysis.host_phases


def test_phases_of_a_process_cover_their_spans(tmp_path):
    (phases,) = host_phases(
        tmp_path,
        *(span(start, start + 10_000, SCHEDULE) for start in (0, 100_000, 220_000)),
        *(
            span(start + 10_000, start + 60_000, RUN_BATCH)
            for start in (0, 100_000, 220_000)
        ),
        span(12_000, 30_000, RUN_BATCH),
    )
    assert (phases.found, phases.starts.tolist()) == ("sglang spans", [0, 100_000, 220_000])
    assert phases.step_ns == 110_000
    assert phases.spans == {"schedule": 3, "forward": 4}
    assert phases.total_ns == {"schedule": 30_000, "forward": 150_000}
