"""The report page in a real browser: it asks for nothing, shows what was recorded, and can be used without a mouse."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import idlescope
from idlescope.report.figures import report_figures, style
from idlescope.report.page import page, timeline
from idlescope.report.page.sections.order import OF_RUN
from idlescope.report.work_line import WorkLine
from idlescope.trace.model import Calls, Counters, Operations, Ranges, Trace
from idlescope.trace.recording import files
from tests.make.pages import (
    HOSTILE,
    NAMES,
    US,
    Opened,
    content,
    drawn,
    loop,
    pixels,
    written,
)

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parents[3]
RENDERED_S, FRAME_MS, MOST_BYTES = 1.5, 33.0, 3_000_000


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The page of a loop whose every time is known."""
    path = tmp_path_factory.mktemp("loop") / "report.html"
    written(loop(), path)
    return path


@pytest.fixture(scope="module")
def kept_open(chromium, small):
    """That page in a window that stays."""
    shown = Opened(chromium, small)
    yield shown
    shown.context.close()


@pytest.fixture
def opened(kept_open):
    """That page, as it is when it has been opened."""
    kept_open.again()
    yield kept_open
    assert kept_open.said == []


def drawn_after_ms(chromium, path, rounds=4):
    """How long a page takes until it is drawn: of a few openings, until one is quick enough.

    Something else may run beside a single one.
    """
    best = float("inf")
    for _ in range(rounds):
        shown = Opened(chromium, path)
        drawn = shown.page.evaluate("performance.getEntriesByName('drawn')[0].startTime")
        shown.context.close()
        best = min(best, drawn)
        if best <= 1000 * RENDERED_S:
            break
    return best


def test_it_loads_in_silence_and_asks_for_nothing(chromium, report):
    shown = Opened(chromium, report / "report.html")
    milliseconds = shown.page.evaluate("performance.getEntriesByName('drawn')[0].startTime")
    titles = shown.page.locator("h2").all_inner_texts()
    shown.context.close()
    assert shown.said == []
    assert shown.asked == [(report / "report.html").as_uri()]
    if milliseconds > 1000 * RENDERED_S:
        milliseconds = drawn_after_ms(chromium, report / "report.html")
    assert milliseconds <= 1000 * RENDERED_S
    assert titles == [
        "Read this first", "What host work costs", "Timeline", "Why the GPU was idle", "All figures", "Lengths of gaps",
        "The ten longest gaps", "Every step", "Idle over the run", "What changes would give",
        "Roofline: active is not the same as useful", "What the trace holds", "What the numbers mean",
        "How to reproduce", "Traces and files",
    ][0 if "Read this first" in titles else 1 :]  # fmt: skip


def test_the_page_of_8192_measured_steps_is_small_and_quick(chromium, tmp_path):
    lines = []
    for mode in ("sync", "async"):
        trace = files.read(ROOT / "reports" / "h200" / "published" / f"{mode}.recording")
        analysis = idlescope.analyze(trace)
        lines.append(WorkLine(mode, trace, analysis.results[0], analysis.phases))
    cost = report_figures.host_cost_of(lines)
    timeline_alone = {"timeline": report_figures.DRAWN["timeline"](lines, "measured")}
    still = report_figures.still_picture(style.save(timeline_alone, tmp_path))
    path = tmp_path / "report.html"
    page.write(content(lines, still=still, cost=cost), path, OF_RUN)
    assert path.stat().st_size <= MOST_BYTES
    assert drawn_after_ms(chromium, path) <= 1000 * RENDERED_S


def test_hovering_says_what_ran_there(opened):
    opened.page.click("#go-longest")
    assert opened.hover(drawn(7_100), "host") == []  # outside of what is shown
    opened.page.evaluate(f"idlescope.show({drawn(7_000)}, {drawn(8_000)})")
    opened.settle()
    assert opened.hover(drawn(7_600), "compute") == [
        "forward", "start 7.010 ms, duration 580.0 µs (580,000 ns)", "compute, GPU, step 7"
    ]  # fmt: skip
    assert opened.hover(drawn(7_200), "host")[0] == "prepare"
    assert opened.hover(drawn(7_315), "H2D")[0] == "Memcpy HtoD (Pinned -> Device)"
    assert opened.hover(drawn(7_100), "compute") == []
    assert opened.hover(drawn(7_100), "gaps") == [
        "idle, cause: host", "start 6.600 ms, duration 390.0 µs (390,000 ns)", "gaps, GPU, step 7",
        "part of a gap of 400.0 µs", "ended by Memcpy HtoD (Pinned -> Device)",
    ]  # fmt: skip
    assert opened.hover(drawn(7_305), "gaps")[0] == "idle, cause: launch"


def test_the_wheel_zooms_about_the_pointer_and_dragging_moves(opened):
    opened.page.click("#go-all")
    x, y = map(round, opened.at(drawn(7_600), "compute"))
    opened.page.wait_for_timeout(350)  # a wheel that scrolls the page goes on doing so
    opened.page.mouse.move(x, y)
    time = opened.page.evaluate(
        f"idlescope.t({x} - idlescope.canvas.getBoundingClientRect().left)"
    )
    for _ in range(10):
        opened.page.mouse.wheel(0, -100)
    opened.settle()
    low, high = opened.page.evaluate("[idlescope.low, idlescope.high]")
    assert high - low < 5_000 * US
    assert opened.at(time, "compute")[0] == pytest.approx(x, abs=1)
    assert opened.hover(time, "compute")[0] == "forward"
    opened.page.mouse.down()
    opened.page.mouse.move(x + 100, y, steps=4)
    opened.page.mouse.up()
    opened.settle()
    assert opened.at(time, "compute")[0] == pytest.approx(x + 100, abs=2)


def test_two_fingers_zoom(chromium, small):
    shown = Opened(chromium, small, has_touch=True, viewport={"width": 390, "height": 800})
    (x, y), session = (
        shown.at(drawn(10_000), "compute"),
        shown.context.new_cdp_session(shown.page),
    )
    low, high = shown.page.evaluate("[idlescope.low, idlescope.high]")
    for kind, apart in (
        ("touchStart", 30),
        ("touchMove", 60),
        ("touchMove", 90),
        ("touchEnd", None),
    ):
        points = (
            []
            if apart is None
            else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        )
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    shown.settle()
    now = shown.page.evaluate("[idlescope.low, idlescope.high]")
    assert now[1] - now[0] == pytest.approx((high - low) / 3, rel=0.05)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 390
    shown.context.close()
    assert shown.said == []


def test_gaps_are_reached_and_told_by_the_keyboard(opened):
    opened.page.focus("#lanes")
    opened.page.keyboard.press("l")
    said = opened.page.locator("#said")
    assert said.inner_text() == (
        "Gap 1 of 19, longest first, GPU: 400.0 µs, 600.0 µs into the window, step 1; host 97.50 %, launch 2.50 %; "
        "ended by Memcpy HtoD (Pinned -> Device)."
    )
    for key, step in (("n", 2), ("n", 3), ("p", 2), ("p", 1), ("p", 1)):
        opened.page.keyboard.press(key)
        assert f"step {step};" in said.inner_text()
    before = opened.page.evaluate("idlescope.high - idlescope.low")
    opened.page.keyboard.press("+")
    assert opened.page.evaluate("idlescope.high - idlescope.low") == pytest.approx(
        0.7 * before
    )
    opened.page.keyboard.press("0")
    assert opened.page.evaluate("[idlescope.low, idlescope.high]") == [0, drawn(19_910)]


def test_the_text_behind_the_timeline_says_the_same(opened, small):
    result = idlescope.analyze(loop()).results[0]
    opened.page.click("#go-all")
    opened.page.click("#in-text summary")
    opened.settle()
    rows = [row.split("\t") for row in opened.page.locator("#told tr").all_inner_texts()]
    told = {row[1]: row[2:] for row in rows}
    assert told["compute"] == ["20", "11.60 ms", "59.15 %"]
    assert told["H2D"][1] == "200.0 µs"
    totals = result.gaps.totals()
    assert told["gaps: host"][1] == f"{totals['host'] / 1e6:.3f} ms"
    assert told["gaps: launch"][1] == f"{totals['launch'] / 1e3:.1f} µs"


def test_steps_are_listed_sorted_and_found_in_the_timeline(chromium, report):
    shown, steps = (
        Opened(chromium, report / "report.html"),
        files.read(report / "sync.recording"),
    )
    found = idlescope.analyze(steps).results[0].steps
    shown.page.click('h2:text("Every step")')
    rows = shown.page.locator("#steps tbody tr")
    assert rows.count() == 20
    assert (
        shown.page.locator("#steps-page").inner_text() == "page 1 of 2, 40 steps (recorded)"
    )
    shown.page.click("#steps th[data-key=idle] button")
    worst = int(np.argmax(found.idle))
    first = rows.first.locator("th, td").all_inner_texts()
    assert first[0] == str(found.number[worst])
    assert first[5:] == [str(found.operations[worst]), "no"]
    shown.page.click("#steps-next")
    assert rows.count() == 20
    rows.first.locator("button").click()
    low, high = shown.page.evaluate("[idlescope.low, idlescope.high]")
    assert high - low < 0.2 * shown.page.evaluate("idlescope.last - idlescope.first")
    shown.page.select_option("#steps-of", "1")
    assert "recorded" in shown.page.locator("#steps-page").inner_text()
    shown.context.close()
    assert shown.said == []


def test_names_from_a_trace_are_text(chromium, tmp_path):
    trace = loop(kernels=[NAMES.index(name) for name in HOSTILE])
    written(trace, tmp_path / "report.html", label=HOSTILE[0])
    shown = Opened(chromium, tmp_path / "report.html")
    shown.page.evaluate(f"idlescope.show({drawn(5_000)}, {drawn(10_000)})")
    shown.settle()
    names = [shown.hover(drawn(1000 * i + 600), "compute")[0] for i in range(5, 10)]
    assert names == [
        name.replace("\u202e", "\ufffd").replace("\0", "\ufffd") for name in HOSTILE
    ]
    assert shown.page.locator("img").count() == 0
    assert HOSTILE[0] in shown.page.locator("main").inner_text()
    shown.context.close()
    assert shown.said == []
    assert len(shown.asked) == 1


def test_nothing_but_the_pages_own_script_runs(chromium, small, tmp_path):
    text = small.read_text("utf-8").replace(
        "</main>", "<script>alert(1)</script><img src=x onerror='alert(2)'></main>"
    )
    (tmp_path / "changed.html").write_text(text, "utf-8")
    shown = Opened(chromium, tmp_path / "changed.html")
    shown.page.evaluate("fetch('http://127.0.0.1:9/').catch(() => {})")
    shown.context.close()
    assert not {"1", "2"} & set(shown.said)
    assert sum("Content Security Policy" in message for message in shown.said) >= 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_colour_schemes_and_print(chromium, report, scheme, tmp_path):
    shown = Opened(chromium, report / "report.html", color_scheme=scheme)
    ground = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]
    shown.page.locator(".interactive").screenshot(path=tmp_path / f"timeline_{scheme}.png")
    shown.page.screenshot(path=tmp_path / f"page_{scheme}.png", full_page=True)
    timeline_pixels = pixels(tmp_path / f"timeline_{scheme}.png")
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):  # compute, idle for the host
        assert (timeline_pixels == colour).all(-1).sum() > 500
    shown.page.emulate_media(media="print")
    assert (
        shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    assert not shown.page.locator(".interactive").is_visible()
    assert shown.page.locator("figure.still img").is_visible()
    shown.page.pdf(path=tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    shown.context.close()


def test_zoomed_out_idle_time_stays_visible(chromium, tmp_path):
    """Of 5,000 steps in a thousand pixels, each 58 % compute, the bars are 58 % high: no solid band."""
    written(loop(5_000), tmp_path / "report.html")
    shown = Opened(chromium, tmp_path / "report.html")
    shown.page.click("#go-all")
    shown.settle()
    red = shown.page.evaluate(
        """() => { const { top, lane } = idlescope.places.find(({ lane }) => lane.label === "compute");
        const pen = idlescope.canvas.getContext("2d"), { gutter, width } = idlescope;
        const { data } = pen.getImageData(gutter + 5, top, width - gutter - 10, lane.height);
        return [...data].filter((_, i) => !(i % 4)); }"""
    )
    shown.context.close()
    # of red there is none in the bars, and so much in what is behind them
    assert 1 - np.mean(red) / 0xF4 == pytest.approx(0.58, abs=0.01)


def test_one_kernel_around_all_others_hides_none(chromium, tmp_path):
    trace = loop(1000)
    around = trace.operations.take(slice(1, 2)).replace(
        end=[trace.operations.end.max()], stream=[0]
    )
    written(
        replace(trace, operations=Operations.joined([trace.operations, around])),
        tmp_path / "report.html",
    )
    shown = Opened(chromium, tmp_path / "report.html")
    shown.page.evaluate(f"idlescope.show({drawn(500_000)}, {drawn(502_000)})")
    shown.settle()
    assert shown.hover(drawn(500_600), "compute")[1].startswith(
        "start 500.0 ms, duration 580.0 µs"
    )
    shown.context.close()


def test_a_trace_with_no_thread_and_times_that_run_back_has_a_page(tmp_path):
    trace = loop(3)
    operations = trace.operations.replace(
        end=np.where(np.arange(9) == 4, 0, trace.operations.end)
    )
    without = replace(
        trace, operations=operations, calls=Calls.empty(), ranges=Ranges.empty(), threads=()
    )
    written(without, tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_a_million_intervals_stay_smooth(chromium, tmp_path):
    n = timeline.MAX_INTERVALS // 3
    rng = np.random.default_rng(0)
    length, idle = rng.integers(1000, 9000, n), rng.integers(1, 900, n)
    start = np.cumsum(length + idle) - length
    zero = np.zeros(n)
    operations = Operations.of(start=start, end=start + length, kind=zero, device=zero, stream=zero, name=zero + 5,
                               correlation=np.arange(1, n + 1), step=zero - 1, bytes=zero, flops=zero)  # fmt: skip
    calls = Calls.of(
        start=start - 2000,
        end=start - 1700,
        thread=zero,
        name=zero + 8,
        correlation=np.arange(1, n + 1),
    )
    one = loop(1)
    trace = Trace(
        operations,
        calls,
        Ranges.empty(),
        Counters.empty(),
        *(one.names, one.devices, one.streams, one.threads),
    )
    written(trace, tmp_path / "report.html")
    shown = Opened(chromium, tmp_path / "report.html")
    rows = shown.page.evaluate("idlescope.items[0].lanes.map((lane) => lane.rows)")
    assert 0.9 * timeline.MAX_INTERVALS < sum(rows) <= timeline.MAX_INTERVALS
    x, y = shown.at(int(start[n // 2]), "compute")
    shown.page.wait_for_timeout(400)
    shown.page.mouse.move(x, y)
    smooth = any(
        _frames(shown) <= FRAME_MS for _ in range(5)
    )  # of what else runs on the machine it knows nothing
    shown.context.close()
    assert smooth


def _frames(shown):
    """The length of a frame that 95 % do not exceed, in ms, while the wheel zooms in and out."""
    shown.page.evaluate(
        """() => { window.frames_ = []; let last = 0;
        const tick = (now) => { if (last) frames_.push(now - last); last = now; requestAnimationFrame(tick); };
        requestAnimationFrame(tick); }"""
    )
    for by in [-100] * 30 + [100] * 30:
        shown.page.mouse.wheel(0, by)
        shown.page.wait_for_timeout(8)
    return float(np.percentile(shown.page.evaluate("frames_"), 95))


def test_more_than_a_million_are_cut_about_the_longest_gap(monkeypatch):
    monkeypatch.setattr(timeline, "MAX_INTERVALS", 100)
    trace = loop(200)
    result = idlescope.analyze(trace)
    packed = timeline.pack([WorkLine("GPU", trace, result.results[0], result.phases)])
    (item,) = packed.document["items"]
    assert 50 <= sum(lane["rows"] for lane in item["lanes"]) <= 100
    assert item["left_out"] > 1000


def test_the_trace_is_handed_to_perfetto(chromium, report, tmp_path):
    shown = Opened(chromium, report / "report.html")
    stub = """<script>addEventListener("message", (event) => {
      if (event.data === "PING") event.source.postMessage("PONG", "*");
      else { window.title_ = event.data.perfetto.title;
             window.bytes_ = btoa(String.fromCharCode(...new Uint8Array(event.data.perfetto.buffer))); }
    });</script>"""
    shown.context.route(
        "https://ui.perfetto.dev/**",
        lambda route: route.fulfill(body=stub, content_type="text/html"),
    )
    with shown.context.expect_page() as popup:
        shown.page.click("#to-perfetto")
    shown.page.locator("#perfetto-said", has_text="Handed over").wait_for()
    handed = popup.value
    handed.wait_for_function("window.bytes_")
    data = handed.evaluate(
        "Uint8Array.from(atob(bytes_), (c) => c.charCodeAt(0)).reduce((s, b) => s + String.fromCharCode(b), '')"
    )
    shown.context.close()
    (tmp_path / "handed.json.gz").write_bytes(data.encode("latin-1"))
    worst = idlescope.analyze(files.read(report / "sync.recording")).results[0].longest[0]
    assert (
        idlescope.analyze(idlescope.open(tmp_path / "handed.json.gz"))
        .results[0]
        .longest[0]
        .length_ns
        == worst.length_ns
    )
    assert shown.said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(chromium, report, scheme):
    source = os.environ.get("AXE_CORE")
    if source is None:
        pytest.skip("AXE_CORE does not say where axe.min.js of the npm package axe-core is")
    shown = Opened(chromium, report / "report.html", color_scheme=scheme, bypass_csp=True)
    shown.page.click("#in-text summary")
    shown.page.evaluate(
        "for (const one of document.querySelectorAll('details')) one.open = true"
    )
    # in the dark only colours differ
    assert shown.violations(source, ["color-contrast"] * (scheme == "dark")) == []
    shown.context.close()
