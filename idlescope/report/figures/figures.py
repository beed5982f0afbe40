"""The figures of a report, drawn from analysis results: activity, causes, idle over the run, gap lengths, host cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from idlescope.analysis import intervals
from idlescope.analysis.idle import activity
from idlescope.analysis.idle import occupancy as idle
from idlescope.analysis.idle.causes import CAUSES
from idlescope.analysis.intervals import Intervals
from idlescope.analysis.prediction.curve import HostCost, host_cost
from idlescope.analysis.prediction.published import Point
from idlescope.analysis.result import DeviceResult
from idlescope.palette import BLUE, CAUSE, GREEN, GREY, MODE, ORANGE, PURPLE, SKY, STATE, VERMILION
from idlescope.report.tables.terminal import TITLES, shorten
from idlescope.report.text import visible
from idlescope.trace.model import Trace
from idlescope.trace.names.own_engine import DEPTHS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEPS_SHOWN = 4.5  # in the activity timeline
PIXELS = (
    2000  # of the timeline's width: shorter gaps between bars are not drawn, they would only blur
)
BINS = 200  # of idle over the run
GAP_EDGES_NS = np.logspace(2, 10.5, 52)  # 100 ns to 32 s
MODES = {depth: mode for mode, depth in DEPTHS.items()}
DASHES = {"sync": "-", "async": (0, (5, 1.5))}  # modes differ in greyscale, too
SHAPES = "sD^vP*"  # of measured engines
DIM = "#666666"  # of remarks
COLORS = (GREEN, PURPLE, ORANGE, BLUE, SKY, VERMILION)  # of devices, in their order
BUSY = {
    "both busy": "both busy",
    "device only": "GPU busy",
    "host only": "CPU busy",
    "neither": "both idle",
}
NAME_WIDTH, SUBTITLE_WIDTH = 36, 80  # of texts that a figure of 9 inches has room for
PER_LINE = 120  # letters of a legend, with room for its lines
NAMED = 0.1  # of a figure's width: a narrower part has no name in it
LUMINANCE = (0.2126, 0.7152, 0.0722)  # of red, green and blue (ITU-R BT.709)
DARK = 0.42  # white letters on colours of less luminance
STYLE = {
    "svg.hashsalt": "idlescope", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False,
    "axes.titlesize": 10, "axes.titlelocation": "left", "legend.frameon": False, "figure.dpi": 150,
}  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """One line of work in a report: a mode of a run, or a device of a trace."""

    label: str
    trace: Trace
    result: DeviceResult

    @property
    def title(self) -> str:
        """Return what it is called: a mode by its whole name."""
        return TITLES.get(self.label, self.label)

    @property
    def drawn(self) -> str:
        """Return the title as figures show it."""
        return drawn_text(shorten(self.title, NAME_WIDTH))

    @property
    def color(self) -> str:
        """Return the colour that stands for it, alone or beside other modes."""
        return MODE.get(self.label, GREEN)

    @property
    def step_ns(self) -> float:
        """Return the mean length of a step, or a fiftieth of the window where there are no steps."""
        return self.result.occupancy.window_ns / (len(self.result.steps) or 50)


def draw_all(shown: Sequence[Shown], subtitle: str) -> dict[str, Figure]:
    """Return every figure by name, without `cost` where no steps can be replayed.

    `subtitle` says what was run, and that it is modelled where it is.
    """
    import matplotlib as mpl

    subtitle = drawn_text(shorten(subtitle, SUBTITLE_WIDTH))
    found = host_cost({item.label: (item.trace, item.result) for item in shown})
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figures = {
            "timeline": timeline(shown, subtitle),
            "causes": causes(shown, subtitle),
            "idle": idle_over_run(shown, subtitle),
            "gaps": gap_lengths(shown, subtitle),
        }
        if found is not None:
            figures["cost"] = cost(found, subtitle)
    return figures


def save(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """Write each figure as PNG and SVG, equal figures as equal files; return the paths."""
    import matplotlib as mpl

    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        for name, figure in figures.items():
            for suffix, metadata in (
                ("svg", {"Date": None, "Creator": "idlescope"}),
                ("png", {"Software": None}),
            ):
                paths.append(folder / f"{name}.{suffix}")
                figure.savefig(paths[-1], metadata=metadata)
    return paths


def timeline(shown: Sequence[Shown], subtitle: str) -> Figure:
    """Draw when the CPU and the GPU were busy in the middle of each run, all on one time scale."""
    span = STEPS_SHOWN * max(s.step_ns for s in shown)
    figure, axes = _figure(len(shown), 1.55 * len(shown) + 1.0, sharex=True)
    unit, scale = ("ms", 1e6) if span >= 1e6 else ("µs", 1e3)
    for axis, item in zip(axes, shown, strict=True):
        _activity(axis, item, int(span), scale)
    axes[-1].set_xlabel(f"{unit}, from about the middle of the run")
    handles = [_patch(STATE[state], BUSY[state]) for state in activity.STATES]
    handles.append(_patch(SKY, "GPU copy"))
    figure.legend(handles=handles, loc="outside lower center", ncols=5, handlelength=1.2)
    figure.suptitle(f"CPU and GPU activity · {subtitle}", x=0.01, ha="left", fontsize=10)
    return figure


def _activity(axis: Axes, item: Shown, span: int, scale: float) -> None:
    operations, occupancy = item.result.operations, item.result.occupancy
    low = activity.typical_moment(operations, occupancy, span)
    high = low + span
    compute = idle.is_compute(operations)
    copies = activity.device_busy(operations.take(~compute))
    computing = activity.device_busy(operations.take(compute))
    host, device = (
        activity.host_busy(item.trace, item.result.gaps),
        activity.device_busy(operations),
    )
    for y, color, busy in (
        (2, ORANGE, host),
        (1, BLUE, computing),
        (1, SKY, intervals.subtract(copies, computing)),
    ):
        _bars(
            axis,
            intervals.join(intervals.clip(busy, low, high), span // PIXELS),
            y,
            color,
            low,
            scale,
        )
    for state, parts in reversed(
        activity.states(host, device, low, high).items()
    ):  # idle first, busy over it
        _bars(axis, intervals.join(parts, span // PIXELS), 0, STATE[state], low, scale)
    axis.set_yticks([2, 1, 0], ["CPU", "GPU", "together"])
    axis.set_ylim(-0.5, 2.5)
    axis.set_xlim(0, span / scale)
    axis.spines["left"].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.set_title(f"{item.drawn}: GPU idle {item.result.idle_pct:.2f} % of the run")


def _bars(axis: Axes, parts: Intervals, y: float, color: str, low: int, scale: float) -> None:
    spans = np.column_stack(((parts.start - low) / scale, parts.length / scale))
    axis.broken_barh(
        [(float(a), float(b)) for a, b in spans], (y - 0.4, 0.8), facecolors=color, linewidth=0
    )


def idle_over_run(shown: Sequence[Shown], subtitle: str) -> Figure:
    """Draw the share of idle time in equal parts of each run."""
    figure, (axis,) = _figure(1, 2.8)
    longest = max(item.result.occupancy.window_ns for item in shown)
    unit, scale = ("seconds", 1e9) if longest >= 1e9 else ("milliseconds", 1e6)
    for item, style in zip(shown, _styles(shown), strict=True):
        edges, percent = activity.idle_over_time(item.result.occupancy, BINS)
        axis.stairs(percent, (edges - edges[0]) / scale, label=item.drawn, baseline=None, **style)
    axis.set_xlabel(f"{unit} from the first operation")
    axis.set_ylabel("idle, %")
    axis.set_xlim(0, longest / scale or None)
    axis.set_ylim(
        -0.02 * axis.get_ylim()[1], None
    )  # a run with no idle is a line to see, not the axis itself
    axis.set_title(f"Idle over the run · {subtitle}")
    _legend(figure, axis)
    return figure


def gap_lengths(shown: Sequence[Shown], subtitle: str) -> Figure:
    """Draw how many gaps there are of each length, and how much idle time they hold."""
    figure, axes = _figure(2, 4.4, sharex=True)
    histograms = [activity.gap_histogram(item.result.gaps, GAP_EDGES_NS) for item in shown]
    most = max(float(lengths.max()) for _, lengths in histograms)
    unit, scale = next(((u, s) for u, s in (("s", 1e9), ("ms", 1e6)) if most >= s), ("µs", 1e3))
    for item, style, (counts, lengths) in zip(shown, _styles(shown), histograms, strict=True):
        axes[0].stairs(counts, GAP_EDGES_NS, label=item.drawn, **style)
        axes[1].stairs(lengths / scale, GAP_EDGES_NS, **style)
    axes[0].set_yscale("symlog", linthresh=1)
    axes[0].set_ylim(0, None)
    axes[0].set_ylabel("gaps")
    axes[1].set_ylabel(f"idle in them, {unit}")
    axes[1].set_xscale("log")
    axes[1].set_xlabel("length of the gap")
    filled = np.flatnonzero(sum(counts for counts, _ in histograms))
    low, high = (filled[0], filled[-1] + 1) if filled.size else (0, len(GAP_EDGES_NS) - 1)
    axes[1].set_xlim(GAP_EDGES_NS[low] / 2, GAP_EDGES_NS[high] * 2)
    ticks = {1e2: "100 ns", 1e3: "1 µs", 1e4: "10 µs", 1e5: "100 µs", 1e6: "1 ms", 1e7: "10 ms", 1e8: "100 ms",
             1e9: "1 s", 1e10: "10 s"}  # fmt: skip
    limits = axes[1].get_xlim()
    axes[1].set_xticks(list(ticks), list(ticks.values()))
    axes[1].set_xlim(limits)  # which ticks widen
    axes[0].set_title(f"Lengths of idle gaps · {subtitle}")
    _legend(figure, axes[0])
    return figure


def _styles(shown: Sequence[Shown]) -> list[dict[str, Any]]:
    """Return how the line of each is drawn: modes in their colours, devices each in one of its own while they last."""
    styles = []
    for i, item in enumerate(shown):
        color = item.color if item.label in MODE else COLORS[i % len(COLORS)]
        dash = DASHES.get(item.label, list(DASHES.values())[i // len(COLORS) % len(DASHES)])
        styles.append({"color": color, "linestyle": dash, "linewidth": 1.3})
    return styles


def _legend(figure: Figure, axis: Axes) -> None:
    """Name the lines of a figure below it."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=p.get_edgecolor(), linestyle=p.get_linestyle(), label=str(p.get_label()))
             for p in axis.patches]  # fmt: skip
    columns = PER_LINE // (12 + max(len(str(line.get_label())) for line in lines))
    figure.legend(
        handles=lines, loc="outside lower center", ncols=min(len(lines), columns), handlelength=2.4
    )


def causes(shown: Sequence[Shown], subtitle: str) -> Figure:
    """Draw idle time by cause, stacked, as a share of each window."""
    figure, (axis,) = _figure(1, 0.55 * len(shown) + 1.6)
    furthest = max(1.2 * max(item.result.idle_pct for item in shown), 0.1)
    for y, item in enumerate(reversed(shown)):
        left, window = 0.0, item.result.occupancy.window_ns or 1
        for cause in CAUSES:
            width = 100.0 * item.result.gaps.totals()[cause] / window
            axis.barh(
                y,
                width,
                left=left,
                color=CAUSE[cause],
                height=0.6,
                edgecolor="white",
                linewidth=0.5,
            )
            if width > NAMED * furthest:
                axis.text(
                    left + width / 2,
                    y,
                    cause,
                    ha="center",
                    va="center",
                    color=ink(CAUSE[cause]),
                    fontsize=8,
                )
            left += width
        axis.text(left, y, f"  {left:.2f} % idle", va="center")
    axis.set_yticks(range(len(shown)), [item.drawn for item in reversed(shown)])
    axis.set_ylim(-0.5, len(shown) - 0.5)
    axis.set_xlim(0, furthest)
    axis.set_xlabel("idle, % of the window")
    figure.legend(
        handles=[_patch(CAUSE[c], c) for c in CAUSES],
        loc="outside lower center",
        ncols=4,
        handlelength=1.2,
    )
    figure.suptitle(f"Idle by cause · {subtitle}", x=0.01, ha="left", fontsize=10)
    return figure


def cost(found: HostCost, subtitle: str) -> Figure:
    """Draw idle time over host work a step: curves of the replayed steps, and measured points with their sources."""
    from matplotlib.legend_handler import HandlerTuple

    engines = dict.fromkeys(p.name for p in found.published)
    figure, (axis,) = _figure(1, 3.9 + 0.17 * (len(found.measured) + len(engines)))
    for curve in found.curves:
        mode = MODES[curve.depth]
        axis.plot(
            curve.host_ms, curve.idle_pct, color=MODE[mode], linestyle=DASHES[mode], linewidth=1.6
        )
        end = (float(curve.host_ms[-1]), float(curve.idle_pct[-1]))
        axis.annotate(
            TITLES[mode], end, (6, 0), textcoords="offset points", va="center", color=MODE[mode]
        )
    axis.axvline(found.device_ms, color=GREY, linewidth=0.8, zorder=1)
    says, top = f"device: {found.device_ms:.3g} ms a step", (found.device_ms, 1)
    axis.annotate(
        says, top, (4, -2), ("data", "axes fraction"), "offset points", va="top", color=DIM
    )
    legend = [(_marks(axis, [p], "o", 10), _own(found, p)) for p in found.measured]
    for name, shape in zip(engines, SHAPES, strict=False):
        points = [p for p in found.published if p.name == name]
        devices = " and ".join(f"{p.device_ms:.1f}" for p in points)
        text = f"{name}: device {devices} ms a step ({points[0].source})"
        legend.append((_marks(axis, points, shape, 7), text))
    axis.set_xlim(0, found.curves[0].host_ms[-1])
    axis.set_ylim(-3, None)
    axis.set_xlabel("host work, ms a step")
    axis.set_ylabel("compute idle, % after the first step")
    axis.set_title(f"What host work costs · {subtitle}")
    figure.legend(
        *zip(*legend, strict=True), loc="outside lower left", fontsize=7.5, borderpad=0.2,
        handler_map={tuple: HandlerTuple(ndivide=None)}, handlelength=2.4,
    )  # fmt: skip
    return figure


def _own(found: HostCost, p: Point) -> str:
    name = drawn_text(shorten(TITLES.get(p.name, p.name), NAME_WIDTH))
    replayed = (
        "; the curves are its steps replayed with more and less host work"
        if p.name == found.replayed
        else ""
    )
    return f"this {'run' if p.mode else 'trace'}, {name}: {p.host_ms:.3g} ms, {p.idle_pct:.2f} % idle{replayed}"


def _marks(axis: Axes, points: Sequence[Point], shape: str, size: float) -> tuple[Any, ...]:
    """Mark points, asynchronous ones hollow, and return the marks."""
    drawn = []
    for p in points:
        color = MODE.get(p.mode, GREEN)
        face, edge = ("white", color) if p.mode == "async" else (color, "white")
        drawn += axis.plot(
            p.host_ms, p.idle_pct, linestyle="none", marker=shape, markersize=size, markerfacecolor=face,
            markeredgecolor=edge, clip_on=False, zorder=4 - size / 10,
        )  # fmt: skip
    return tuple(drawn)


def _figure(rows: int, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    figure = canvas(9, height)
    axes = figure.subplots(rows, 1, squeeze=False, **options)
    return figure, list(axes[:, 0])


def canvas(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches, which no window shows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def drawn_text(text: str) -> str:
    """Return a text that matplotlib draws as it stands, not as a formula."""
    return visible(text).replace("$", r"\$")


def ink(color: Any) -> str:
    """Return the colour of letters on a colour."""
    from matplotlib.colors import to_rgb

    return "white" if np.dot(to_rgb(color), LUMINANCE) < DARK else "black"


def _patch(color: str, label: str) -> Any:
    from matplotlib.patches import Patch

    edge = GREY if label == "neither" else "none"
    return Patch(facecolor=color, edgecolor=edge, linewidth=0.5, label=label)
