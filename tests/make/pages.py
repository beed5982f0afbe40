"""Pages to look at in a browser: that of a loop whose every time is known, and how a page is opened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

import idlescope
from idlescope.report.page import page
from idlescope.report.page.content import Head, Page
from idlescope.report.work_line import WorkLine
from idlescope.trace.metadata import Metadata
from idlescope.trace.model import (
    Calls,
    Counters,
    Device,
    OperationKind,
    Operations,
    RangeKind,
    Ranges,
    Thread,
    Trace,
)
from tests.make.traces import table

US = 1000
FIRST_US = 300  # the host's work before the first launch is outside of the window, and is not drawn
HOSTILE = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "a\u202eb\0c",
    "<!--",
    "{{ 7 * 7 }}",
]
NAMES = ("schedule", "prepare", "submit", "retrieve", "update", "forward", "Memcpy HtoD (Pinned -> Device)",
         "Memcpy DtoH (Device -> Pinned)", "cudaGraphLaunch", *HOSTILE)  # fmt: skip
KERNEL, COPY, ANNOTATION = OperationKind.KERNEL, OperationKind.MEMCPY, RangeKind.ANNOTATION


def loop(steps=20, kernels=(5,)):
    """A synchronous loop of 1,000 µs a step: 300 to prepare it, 10 to launch it, 600 on the device, 90 of update."""
    operations, calls, ranges = [], [], []
    for i in range(steps):
        at = 1000 * US * i
        for name, low, high in (
            (0, 0, 100),
            (1, 100, 300),
            (2, 300, 320),
            (3, 320, 910),
            (4, 910, 1000),
        ):
            ranges.append((at + low * US, at + high * US, 0, name, ANNOTATION, i))
        calls.append((at + 300 * US, at + 302 * US, 0, 8, 3 * i + 1))
        calls.append((at + 302 * US, at + 304 * US, 0, 8, 3 * i + 2))
        calls.append((at + 304 * US, at + 306 * US, 0, 8, 3 * i + 3))
        operations.append(
            (at + 310 * US, at + 320 * US, COPY, 0, 0, 6, 3 * i + 1, i, 0, 0.0)
        )
        operations.append(
            (
                at + 320 * US,
                at + 900 * US,
                KERNEL,
                0,
                1,
                kernels[i % len(kernels)],
                3 * i + 2,
                i,
                0,
                0.0,
            )
        )
        operations.append(
            (at + 900 * US, at + 910 * US, COPY, 0, 2, 7, 3 * i + 3, i, 0, 0.0)
        )
    return Trace(
        table(Operations, operations), table(Calls, calls), table(Ranges, ranges), Counters.empty(), NAMES,
        (Device(0, 0, "GPU", "1"),), ("H2D", "compute", "D2H"), (Thread(0, "engine"),), Metadata(format="recording"),
    )  # fmt: skip


def hostile_loop(steps=20):
    """The same, with names that would act if they were not text."""
    return loop(steps, kernels=[NAMES.index(name) for name in HOSTILE])


def drawn(us):
    """A time of `loop` on the page's clock, ns."""
    return (us - FIRST_US) * US


def written(trace, path, label="GPU"):
    """The page of a trace's analysis, without its figures."""
    analysis = idlescope.analyze(trace)
    lines = [WorkLine(label, trace, result, analysis.phases) for result in analysis.results]
    page.write(content(lines), path)
    return analysis


def content(lines=(), **entries):
    """What a page says that has nothing but its lines of work."""
    given = {
        "columns": ["one"],
        "rows": [("a figure", ["1"])],
        "warnings": [],
        "command": "idlescope",
        "environment": {},
    }
    return Page(head=Head("a trace", "verdict", "made up"), lines=lines, **(given | entries))  # fmt: skip


def pixels(picture: Path) -> np.ndarray:
    """The red, green and blue of a picture, from 0 to 255: (height, width, 3)."""
    with Image.open(picture) as opened:
        return np.asarray(opened.convert("RGB"))


class Opened:
    """A page in the browser, what it said and what it asked for."""

    def __init__(self, browser, path, script=True, **options):
        self.context = browser.new_context(
            **({"viewport": {"width": 1200, "height": 900}} | options)
        )
        self.page = self.context.new_page()
        self.said, self.asked = [], []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on(
            "dialog", lambda dialog: (self.said.append(dialog.message), dialog.dismiss())
        )
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        if script:
            self.page.wait_for_selector("html.drawn")

    def again(self):
        """Load the page anew, as it was at first."""
        self.said.clear()
        self.asked.clear()
        self.page.reload()
        self.page.wait_for_selector("html.drawn")

    def settle(self):
        """Wait until what was asked for has been painted."""
        self.page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def violations(self, axe, rules=()):
        """What axe, of that file, finds of the page that is serious: by all of its rules unless given."""
        self.page.add_script_tag(path=axe)
        found = self.page.evaluate(
            """(rules) => axe.run(rules.length ? { runOnly: rules } : {}).then((result) => result.violations)""",
            list(rules),
        )
        serious = [entry for entry in found if entry["impact"] in ("serious", "critical")]
        return [(entry["id"], entry["nodes"][0]["html"]) for entry in serious]

    def at(self, time_ns, lane, item=0):
        """Where on the screen a time of a lane is."""
        self.page.locator("#lanes").scroll_into_view_if_needed()
        box = self.page.locator("#lanes").bounding_box()
        low, high, gutter, width = self.page.evaluate(
            "[idlescope.low, idlescope.high, idlescope.gutter, idlescope.width]"
        )
        tops = self.page.evaluate(
            """idlescope.places.map(({ lane, item, top }) =>
            [idlescope.items.indexOf(item), lane.label, top + lane.height / 2])"""
        )
        (y,) = (top for of, label, top in tops if (of, label) == (item, lane))
        return box["x"] + gutter + (time_ns - low) / (high - low) * (width - gutter), box[
            "y"
        ] + y

    def hover(self, time_ns, lane, item=0):
        """The lines that hovering there shows."""
        self.page.mouse.move(*self.at(time_ns, lane, item))
        self.settle()
        tip = self.page.locator("#tip")
        return tip.locator("b, div").all_inner_texts() if tip.is_visible() else []
