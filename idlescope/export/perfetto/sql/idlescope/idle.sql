-- Idle time of devices by cause, in Perfetto's trace processor: of torch.profiler's (Kineto's) traces
-- as they are, and of those that `idlescope convert` and `idlescope run` write.
--
-- Printed by `idlescope convert --perfetto-sql`. In the UI: paste it into the Query page, run it, then
-- ask the tables. In the shell: `trace_processor_shell --add-sql-package FOLDER/idlescope TRACE`, then
-- `INCLUDE PERFETTO MODULE idlescope.idle;`
--
--   SELECT * FROM idlescope_device;          -- idle, in ns and %
--   SELECT * FROM idlescope_idle_by_cause;   -- host, launch, queued, unattributed; they add up to idle
--   SELECT * FROM idlescope_idle_by_host;    -- what the launching thread was in during `host`
--   SELECT * FROM idlescope_gap ORDER BY dur DESC LIMIT 10;
--   SELECT * FROM idlescope_gap_part;        -- ts, dur, name: for "Show debug track"
--
-- Definitions: idlescope/analysis/README.md. What this does not know, `idlescope analyze` does: missing
-- and corrupt records (no verdict is given here), steps, engines' phases, waits, several processes in
-- one file whose correlation ids are the same, and slices that Perfetto drops because they overlap on
-- one stream. All times are in ns.

-- Everything that ran on a device. A device is a process of the trace, as Kineto writes them.
CREATE OR REPLACE PERFETTO TABLE idlescope_operation AS
SELECT
  slice.id,
  slice.ts,
  slice.dur,
  slice.ts + slice.dur AS ts_end,
  slice.name,
  slice.category,
  process.upid AS upid,
  coalesce(process.name, 'device ' || process.pid) AS device,
  cast_int!(EXTRACT_ARG(slice.arg_set_id, 'args.correlation')) AS correlation
FROM slice
JOIN thread_track ON thread_track.id = slice.track_id
JOIN thread USING (utid)
JOIN process USING (upid)
WHERE slice.dur > 0
  AND slice.category IN (
    'kernel', 'gpu_memcpy', 'gpu_memset', 'gpu_graph', 'Kernel', 'Memcpy', 'Memset'
  );

-- Calls of the runtime and the driver, the first of each correlation id (of equals the shortest):
-- a profiler may have written both records of one call.
CREATE OR REPLACE PERFETTO TABLE idlescope_call AS
WITH ranked AS (
  SELECT
    slice.id,
    slice.ts,
    slice.ts + slice.dur AS ts_end,
    slice.name,
    thread_track.utid,
    cast_int!(EXTRACT_ARG(slice.arg_set_id, 'args.correlation')) AS correlation
  FROM slice
  JOIN thread_track ON thread_track.id = slice.track_id
  WHERE slice.dur >= 0
    AND slice.category IN (
      'cuda_runtime', 'cuda_driver', 'Runtime', 'privateuse1_runtime', 'privateuse1_driver',
      'xpu_runtime', 'xpu_driver'
    )
), ordered AS (
  SELECT
    *,
    row_number() OVER (PARTITION BY correlation ORDER BY ts, ts_end, id) AS place
  FROM ranked
  WHERE correlation != 0
)
SELECT id, ts, ts_end, name, utid, correlation
FROM ordered
WHERE place = 1;

-- Gaps: where an operation begins after all before it, on any stream, have ended.
CREATE OR REPLACE PERFETTO TABLE _idlescope_gap_bounds AS
WITH covered AS (
  SELECT
    upid,
    device,
    ts,
    max(ts_end) OVER (
      PARTITION BY upid ORDER BY ts, id
      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS busy_until
  FROM idlescope_operation
)
SELECT upid, device, busy_until AS ts, ts AS ts_end, ts - busy_until AS dur
FROM covered
WHERE ts > busy_until;

-- Gaps, with the earliest call that launched what ended each, and the parts by cause.
CREATE OR REPLACE PERFETTO TABLE idlescope_gap AS
WITH launches AS (
  SELECT
    gap.upid,
    gap.ts,
    operation.name AS ended_by,
    call.id AS call_id,
    call.name AS call,
    call.utid AS utid,
    call.ts AS call_ts,
    call.ts_end AS call_end,
    row_number() OVER (
      PARTITION BY gap.upid, gap.ts
      ORDER BY call.ts IS NULL, call.ts, call.ts_end, operation.id
    ) AS place
  FROM _idlescope_gap_bounds AS gap
  JOIN idlescope_operation AS operation
    ON operation.upid = gap.upid AND operation.ts = gap.ts_end
  LEFT JOIN idlescope_call AS call ON call.correlation = operation.correlation
), divided AS (
  SELECT
    gap.*,
    launches.ended_by,
    launches.call_id,
    launches.call,
    launches.utid,
    launches.call_end,
    iif(launches.call_ts IS NULL, 0, max(0, min(launches.call_ts, gap.ts_end) - gap.ts)) AS host
  FROM _idlescope_gap_bounds AS gap
  JOIN launches ON launches.upid = gap.upid AND launches.ts = gap.ts AND launches.place = 1
)
SELECT
  row_number() OVER (ORDER BY upid, ts) AS id,
  ts,
  dur,
  upid,
  device,
  host,
  iif(call_id IS NOT NULL AND call_end > ts, dur - host, 0) AS launch,
  iif(call_id IS NOT NULL AND call_end <= ts, dur - host, 0) AS queued,
  iif(call_id IS NULL, dur, 0) AS unattributed,
  ended_by,
  call,
  call_id,
  utid
FROM divided;

-- The parts of the gaps as slices: a gap begins with `host`, the other cause follows.
CREATE OR REPLACE PERFETTO VIEW idlescope_gap_part AS
SELECT id AS gap_id, upid, device, ts, host AS dur, 'host' AS name
FROM idlescope_gap WHERE host > 0
UNION ALL
SELECT id, upid, device, ts + host, launch, 'launch'
FROM idlescope_gap WHERE launch > 0
UNION ALL
SELECT id, upid, device, ts + host, queued, 'queued'
FROM idlescope_gap WHERE queued > 0
UNION ALL
SELECT id, upid, device, ts, unattributed, 'unattributed'
FROM idlescope_gap WHERE unattributed > 0;

-- Each device: its window, from the first operation's start to the last one's end, and idle in it.
CREATE OR REPLACE PERFETTO TABLE idlescope_device AS
WITH windows AS (
  SELECT
    upid,
    device,
    count() AS operations,
    min(ts) AS ts,
    max(ts_end) - min(ts) AS dur
  FROM idlescope_operation
  GROUP BY upid
), idle AS (
  SELECT upid, count() AS gaps, sum(dur) AS idle
  FROM idlescope_gap
  GROUP BY upid
)
SELECT
  windows.*,
  coalesce(idle.gaps, 0) AS gaps,
  coalesce(idle.idle, 0) AS idle,
  100.0 * coalesce(idle.idle, 0) / windows.dur AS idle_pct
FROM windows
LEFT JOIN idle USING (upid);

-- Idle by cause; the causes of a device add up to its idle time, to the ns.
CREATE OR REPLACE PERFETTO VIEW idlescope_idle_by_cause AS
SELECT
  part.upid,
  part.device,
  part.name AS cause,
  sum(part.dur) AS idle,
  100.0 * sum(part.dur) / device.dur AS pct_of_window
FROM idlescope_gap_part AS part
JOIN idlescope_device AS device USING (upid)
GROUP BY part.upid, part.name
ORDER BY part.upid, idle DESC;

-- What each launching thread was in at each instant: the innermost slice's own time, between its
-- children. The lane is the pair of device and thread: one thread may launch on several devices.
CREATE OR REPLACE PERFETTO TABLE _idlescope_lane AS
SELECT DISTINCT upid, utid, upid * 1000000 + utid AS lane
FROM idlescope_gap
WHERE utid IS NOT NULL;

CREATE OR REPLACE PERFETTO TABLE _idlescope_own_time AS
WITH of_thread AS (
  SELECT slice.id, slice.parent_id, slice.ts, slice.ts + slice.dur AS ts_end, slice.name, thread_track.utid
  FROM slice
  JOIN thread_track ON thread_track.id = slice.track_id
  WHERE slice.dur > 0
    AND thread_track.utid IN (SELECT utid FROM _idlescope_lane)
), children AS (
  SELECT
    child.parent_id,
    child.ts,
    child.ts_end,
    lead(child.ts) OVER (PARTITION BY child.parent_id ORDER BY child.ts, child.id) AS next_ts
  FROM of_thread AS child
  WHERE child.parent_id IS NOT NULL
), first_child AS (
  SELECT parent_id, min(ts) AS ts FROM children GROUP BY parent_id
), pieces AS (
  SELECT slice.utid, slice.name, slice.ts, coalesce(first_child.ts, slice.ts_end) AS ts_end
  FROM of_thread AS slice
  LEFT JOIN first_child ON first_child.parent_id = slice.id
  UNION ALL
  SELECT parent.utid, parent.name, children.ts_end, coalesce(children.next_ts, parent.ts_end)
  FROM children
  JOIN of_thread AS parent ON parent.id = children.parent_id
)
SELECT lane.lane, pieces.name, pieces.ts, pieces.ts_end - pieces.ts AS dur
FROM pieces
JOIN _idlescope_lane AS lane USING (utid)
WHERE pieces.ts_end > pieces.ts
ORDER BY lane.lane, pieces.ts;

CREATE OR REPLACE PERFETTO TABLE _idlescope_host_part AS
SELECT lane.lane, gap.upid, gap.ts, gap.host AS dur
FROM idlescope_gap AS gap
JOIN _idlescope_lane AS lane USING (upid, utid)
WHERE gap.host > 0
ORDER BY lane.lane, gap.ts;

DROP TABLE IF EXISTS _idlescope_host_named;
CREATE VIRTUAL TABLE _idlescope_host_named
USING SPAN_JOIN(_idlescope_host_part PARTITIONED lane, _idlescope_own_time PARTITIONED lane);

-- `host` idle by what the launching thread was in; the rest, in which nothing was recorded, is
-- `untraced`. They add up to `host`.
CREATE OR REPLACE PERFETTO TABLE idlescope_idle_by_host AS
WITH named AS (
  SELECT
    upid,
    iif(name GLOB 'ProfilerStep#*', 'ProfilerStep#', name) AS name, -- one for all steps
    sum(dur) AS idle
  FROM _idlescope_host_named
  GROUP BY 1, 2
), totals AS (
  SELECT upid, device, sum(host) AS host
  FROM idlescope_gap
  GROUP BY upid
), rest AS (
  SELECT totals.upid, 'untraced' AS name, totals.host - coalesce(sum(named.idle), 0) AS idle
  FROM totals
  LEFT JOIN named USING (upid)
  GROUP BY totals.upid
), together AS (
  SELECT * FROM named
  UNION ALL
  SELECT * FROM rest WHERE idle > 0
)
SELECT
  totals.upid,
  totals.device,
  together.name,
  together.idle,
  100.0 * together.idle / totals.host AS pct_of_host
FROM together
JOIN totals USING (upid)
ORDER BY totals.upid, together.idle DESC;

-- What idlescope itself found, where it wrote the trace: its track `gaps`, whose slices are of the
-- category `idlescope`. Its parts add up to idlescope_idle_by_cause.
CREATE OR REPLACE PERFETTO VIEW idlescope_recorded_cause AS
SELECT
  process.upid,
  coalesce(process.name, 'device ' || process.pid) AS device,
  slice.name AS cause,
  sum(slice.dur) AS idle
FROM slice
JOIN thread_track ON thread_track.id = slice.track_id
JOIN thread USING (utid)
JOIN process USING (upid)
WHERE slice.category = 'idlescope' AND thread.name = 'gaps'
GROUP BY process.upid, slice.name;
