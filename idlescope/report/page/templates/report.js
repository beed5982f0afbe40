// The interactive parts of an idlescope report: the timeline, the table of its steps, and the hand-over to Perfetto.
// Everything is in the page; nothing is fetched. Times are nanoseconds from the first thing that is drawn.
"use strict";

const PERFETTO = "https://ui.perfetto.dev";
const LANE_PX = { host: 22, calls: 16, H2D: 14, compute: 22, D2H: 14, "other copies": 14, gaps: 18 };
const RANK_PX = 14; // a lane that is called as its rank
const HEAD_PX = 22, AXIS_PX = 22, LANE_SPACE = 3, MINIMAP_ROW = 12;
const DETAIL_PX = 3; // a column of so many pixels an interval, on average: single ones are drawn
const NAME_PX = 46; // an interval so wide has its name in it
const STEPS_SHOWN = 20;
const CLICK_PX = 4; // a pointer that moved less did not drag

const byId = (id) => document.getElementById(id);
const make = (tag, text = "", className = "") => Object.assign(document.createElement(tag), { textContent: text, className });

// ---- text -----------------------------------------------------------------------------------------------------------

function time(ns) {
  for (const [unit, scale] of [["s", 1e9], ["ms", 1e6], ["µs", 1e3]])
    if (Math.abs(ns) >= scale) return `${(ns / scale).toPrecision(ns >= 1000 * scale ? 6 : 4)} ${unit}`;
  return `${Math.round(ns)} ns`;
}

const exact = (ns) => `${Math.round(ns).toLocaleString("en")} ns`;
const percent = (part, whole) => `${whole > 0 ? ((100 * part) / whole).toFixed(2) : "0.00"} %`;
const name = (page, code) => page.names[code];

// ---- columns --------------------------------------------------------------------------------------------------------

function bytesOf(text) { // of base64
  const binary = atob(text), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

// Columns are byte planes in one gzip stream (packing.py): all lowest bytes first, then the next ones, and so on.
async function unpack(text) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

class Columns {
  constructor(bytes) { this.bytes = bytes; this.at = 0; }
  take(rows, planes) {
    const column = new Float64Array(rows);
    for (let plane = 0, scale = 1; plane < planes; plane++, scale *= 256, this.at += rows)
      for (let i = 0; i < rows; i++) column[i] += this.bytes[this.at + i] * scale;
    return column;
  }
  all({ rows, planes }) {
    return Object.fromEntries(Object.entries(planes).map(([key, count]) => [key, this.take(rows, count)]));
  }
}

// Index of the first value above a bound, in ascending values.
function after(values, bound, low = 0, high = values.length) {
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle] <= bound) low = middle + 1; else high = middle;
  }
  return low;
}

// Time covered by intervals of one colour, answered by bisection however many there are.
class Coverage {
  constructor(rows, start, end) {
    const most = rows.length;
    this.start = new Float64Array(most); this.end = new Float64Array(most); this.before = new Float64Array(most + 1);
    let n = 0;
    for (const i of rows) {
      if (n && start[i] <= this.end[n - 1]) { this.end[n - 1] = Math.max(this.end[n - 1], end[i]); continue; }
      this.start[n] = start[i]; this.end[n++] = end[i];
    }
    this.start = this.start.subarray(0, n); this.end = this.end.subarray(0, n);
    for (let i = 0; i < n; i++) this.before[i + 1] = this.before[i] + this.end[i] - this.start[i];
  }
  until(time) {
    const i = after(this.start, time);
    return this.before[i] - (i ? Math.max(0, this.end[i - 1] - time) : 0);
  }
  within(low, high) { return this.until(high) - this.until(low); }
}

class Lane {
  constructor(page, label, columns) {
    this.label = label; this.height = LANE_PX[label] ?? RANK_PX;
    ({ name: this.name, step: this.step, detail: this.detail } = columns);
    const n = (this.rows = columns.start.length), start = columns.start;
    this.start = start; this.end = new Float64Array(n); this.reach = new Float64Array(n);
    for (let i = 0, now = 0, reach = 0; i < n; i++) {
      start[i] = now += start[i];
      this.end[i] = now + columns.length[i];
      this.reach[i] = reach = Math.max(reach, this.end[i]); // so that what is still open can be looked up
    }
    const byColour = new Map();
    for (let i = 0; i < n; i++) {
      const colour = page.colours[this.name[i]];
      if (!byColour.has(colour)) byColour.set(colour, []);
      byColour.get(colour).push(i);
    }
    byColour.delete("");
    this.coverage = [...byColour].map(([colour, rows]) => [colour, new Coverage(rows, start, this.end)]);
  }
  get all() { return (this.whole ??= new Coverage(Uint32Array.from(this.start, (_, i) => i), this.start, this.end)); }
  stepNumber(row) { return this.step[row] > 0 ? `step ${this.step[row] - 1}` : ""; }
  begun(low, high) { return after(this.start, high) - after(this.start, low); }
  // Rows [first, last) of what may be open in [low, high); long ones may lie between them and be over.
  range(low, high) { return [after(this.reach, low), after(this.start, high)]; }
  at(time, slack) { // the innermost interval there, else the nearest within the slack; -1: none
    let near = -1, distance = slack;
    for (let i = after(this.start, time + slack) - 1; i >= 0 && this.reach[i] > time - slack; i--) {
      if (this.start[i] <= time && time < this.end[i]) return i;
      const away = Math.max(this.start[i] - time, time - this.end[i]);
      if (away < distance) [near, distance] = [i, away];
    }
    return near;
  }
}

// Gaps are maximal, so that the parts of one touch each other and no others.
function gapsOf(lane, item) {
  const gaps = [];
  for (let i = 0; lane && i < lane.rows; i++) {
    const last = gaps[gaps.length - 1];
    if (last && last.end === lane.start[i]) { last.end = lane.end[i]; last.parts.push(i); }
    else gaps.push({ item, lane, start: lane.start[i], end: lane.end[i], parts: [i] });
  }
  return gaps;
}

// ---- timeline -------------------------------------------------------------------------------------------------------

class Timeline {
  constructor(page, bytes) {
    this.page = page;
    const columns = new Columns(bytes);
    this.items = page.items.map((item) => {
      const lanes = item.lanes.map((lane) => new Lane(page, lane.label, columns.all(lane)));
      return { ...item, lanes, steps: { ...item.steps, ...columns.all(item.steps) } };
    });
    for (const item of this.items) {
      item.gaps = gapsOf(item.lanes.find((lane) => lane.label === "gaps"), item);
      item.gapStarts = item.gaps.map((gap) => gap.start);
    }
    this.longest = this.items.flatMap((item) => item.gaps).sort((a, b) => b.end - b.start - (a.end - a.start) || a.start - b.start);
    const ends = this.items.flatMap((item) => [item.end_ns, ...item.lanes.map((lane) => lane.reach[lane.rows - 1])]);
    const starts = this.items.flatMap((item) => [item.zero_ns, ...item.lanes.map((lane) => lane.start[0])]);
    [this.first, this.last] = [Math.min(...starts), Math.max(...ends)];
    this.zero = Math.min(...this.items.map((item) => item.zero_ns));
    this.opened = page.shown ?? [this.first, this.last];
    [this.low, this.high] = this.opened;
    this.canvas = byId("lanes"); this.minimap = byId("minimap"); this.tip = byId("tip");
    this.selected = null; this.pointers = new Map(); this.scrolled = 0;
    this.layout();
    this.listen();
    this.resize();
  }

  layout() {
    let y = 0;
    this.places = [];
    for (const item of this.items) {
      item.top = y; y += HEAD_PX;
      for (const lane of item.folded ? [] : item.lanes) { this.places.push({ lane, item, top: y }); y += lane.height + LANE_SPACE; }
      y += 6;
    }
    this.height = y + AXIS_PX;
  }

  resize() {
    this.width = this.canvas.parentElement.clientWidth;
    if (!this.width) return; // not laid out: there is nothing to draw on
    this.gutter = this.width < 520 ? 58 : 92;
    for (const [canvas, height] of [[this.canvas, this.height], [this.minimap, MINIMAP_ROW * this.items.length]]) {
      canvas.width = Math.round(this.width * devicePixelRatio); canvas.height = Math.round(height * devicePixelRatio);
      canvas.style.width = `${this.width}px`; canvas.style.height = `${height}px`;
      canvas.getContext("2d").setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    }
    this.style = Object.fromEntries(["ink", "soft", "line", "card"].map((key) =>
      [key, getComputedStyle(document.documentElement).getPropertyValue(`--${key}`).trim()]));
    this.paintMinimap();
    this.draw();
  }

  x(time) { return this.gutter + ((time - this.low) / (this.high - this.low)) * (this.width - this.gutter); }
  t(x) { return this.low + ((x - this.gutter) / (this.width - this.gutter)) * (this.high - this.low); }
  get pixel() { return (this.high - this.low) / (this.width - this.gutter); }

  // Show [low, high), as much of it as there is, at least some nanoseconds.
  show(low, high) {
    const whole = this.last - this.first, span = Math.min(Math.max(high - low, 20), whole);
    const start = Math.min(Math.max((low + high - span) / 2, this.first), this.last - span);
    [this.low, this.high] = [start, start + span];
    this.draw();
  }
  zoom(factor, about = (this.low + this.high) / 2) {
    this.show(about - (about - this.low) * factor, about + (this.high - about) * factor);
  }
  pan(share) { const by = share * (this.high - this.low); this.show(this.low + by, this.high + by); }

  draw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => { this.frame = 0; this.paint(); });
  }

  paint() {
    const pen = this.canvas.getContext("2d"), style = this.style;
    pen.clearRect(0, 0, this.width, this.height);
    pen.font = "12px system-ui, sans-serif"; pen.textBaseline = "middle";
    for (const item of this.items) {
      pen.fillStyle = style.ink; pen.textAlign = "left";
      pen.fillText(`${item.title}: ${item.idle_pct.toFixed(2)} % idle`, 2, item.top + HEAD_PX / 2 + 2);
    }
    for (const { lane, top } of this.places) {
      pen.fillStyle = style.soft; pen.textAlign = "right";
      pen.fillText(lane.label, this.gutter - 6, top + lane.height / 2, this.gutter - 8);
      pen.fillStyle = style.card;
      pen.fillRect(this.gutter, top, this.width - this.gutter, lane.height);
    }
    this.paintAxis(pen);
    for (const { lane, top } of this.places) {
      if (this.dense(lane)) paintCoverage(pen, lane, [this.gutter, top], [this.width - this.gutter, lane.height], this.low, this.pixel);
      else this.paintIntervals(pen, lane, top);
    }
    this.paintSelected(pen);
    this.frameMinimap();
    byId("span").textContent = `${time(this.low - this.zero)} to ${time(this.high - this.zero)}, ${time(this.high - this.low)}`;
    if (byId("in-text").open) this.tell();
  }

  paintIntervals(pen, lane, top) {
    const [first, last] = lane.range(this.low, this.high);
    pen.textAlign = "left";
    for (let i = first; i < last; i++) {
      const colour = this.page.colours[lane.name[i]];
      if (!colour || lane.end[i] < this.low) continue;
      const left = Math.max(this.x(lane.start[i]), this.gutter), right = Math.min(this.x(lane.end[i]), this.width);
      pen.fillStyle = colour;
      pen.fillRect(left, top, Math.max(right - left - (right - left > 4 ? 1 : 0), 0.6), lane.height);
      if (colour === this.page.blocking) { // outlined, so that it is found in grey, too
        pen.strokeStyle = this.style.ink;
        pen.strokeRect(left + 0.5, top + 0.5, Math.max(right - left - 2, 1), lane.height - 1);
      }
      if (right - left < NAME_PX) continue;
      pen.save();
      pen.beginPath(); pen.rect(left, top, right - left - 3, lane.height); pen.clip();
      pen.fillStyle = darkOn(colour) ? "#000" : "#fff";
      pen.fillText(name(this.page, lane.name[i]), left + 4, top + lane.height / 2 + 0.5);
      pen.restore();
    }
  }

  paintAxis(pen) {
    const y = this.height - AXIS_PX, span = this.high - this.low, most = (this.width - this.gutter) / 90;
    const rough = span / most, power = 10 ** Math.floor(Math.log10(rough));
    const tick = power * [1, 2, 5, 10].find((n) => n * power >= rough);
    pen.strokeStyle = this.style.line; pen.fillStyle = this.style.soft; pen.textAlign = "center";
    for (let at = Math.ceil((this.low - this.zero) / tick) * tick; at <= this.high - this.zero; at += tick) {
      const x = this.x(at + this.zero);
      pen.beginPath(); pen.moveTo(x, 0); pen.lineTo(x, y + 4); pen.stroke();
      if (x > this.gutter + 10 && x < this.width - 24) pen.fillText(axisLabel(at, tick), x, y + 13);
    }
  }

  paintSelected(pen) {
    const gap = this.selected;
    if (!gap) return;
    const place = this.places.find(({ lane }) => lane === gap.lane), left = this.x(gap.start), right = this.x(gap.end);
    pen.strokeStyle = this.style.ink; pen.lineWidth = 2;
    pen.strokeRect(left - 1, gap.item.top + HEAD_PX - 1, Math.max(right - left, 1) + 2, place.top + gap.lane.height - gap.item.top - HEAD_PX + 2);
    pen.lineWidth = 1;
  }

  // Compute over all time, a row an item; only the frame around what is shown moves.
  paintMinimap() {
    const pen = this.minimap.getContext("2d"), size = [this.width, MINIMAP_ROW - 2];
    this.items.forEach((item, row) => {
      const lane = item.lanes.find((one) => one.label === "compute") ?? item.lanes[0], place = [0, row * MINIMAP_ROW];
      pen.fillStyle = this.style.card;
      pen.fillRect(...place, ...size);
      if (lane) paintCoverage(pen, lane, place, size, this.first, (this.last - this.first) / this.width);
    });
  }
  frameMinimap() {
    const pixel = (this.last - this.first) / this.width, { style } = byId("view");
    style.left = `${(this.low - this.first) / pixel}px`;
    style.width = `${Math.max((this.high - this.low) / pixel, 3)}px`;
    style.height = `${MINIMAP_ROW * this.items.length}px`;
  }

  // Whether more intervals begin in what is shown than can be told apart.
  dense(lane) { return lane.begun(this.low, this.high) * DETAIL_PX > this.width; }

  // What is at a point of the canvas, as lines of text; the first is its name. Empty where there is nothing.
  what(x, y) {
    const place = this.places.find(({ lane, top }) => y >= top && y < top + lane.height + LANE_SPACE);
    if (!place || x < this.gutter) return [];
    const { lane, item } = place, at = this.t(x);
    if (this.dense(lane)) {
      const low = at - this.pixel / 2, busy = lane.coverage.map(([, coverage]) => coverage.within(low, low + this.pixel));
      const sum = busy.reduce((a, b) => a + b, 0);
      return [`${lane.label}, ${item.title}`, `${percent(sum, this.pixel)} of ${time(this.pixel)} here, at ${time(at - item.zero_ns)}`, "zoom in for single ones"];
    }
    const row = lane.at(at, 2 * this.pixel);
    return row < 0 ? [] : this.describe(lane, item, row);
  }

  describe(lane, item, row) {
    const length = lane.end[row] - lane.start[row];
    const step = lane.stepNumber(row) || "no step known";
    const lines = [name(this.page, lane.name[row]), `start ${time(lane.start[row] - item.zero_ns)}, duration ${time(length)} (${exact(length)})`, `${lane.label}, ${item.title}, ${step}`];
    if (lane.label === "gaps") {
      lines[0] = `idle, cause: ${lines[0]}`;
      const gap = item.gaps[after(item.gapStarts, lane.start[row]) - 1];
      if (gap.parts.length > 1) lines.push(`part of a gap of ${time(gap.end - gap.start)}`);
      lines.push(`ended by ${name(this.page, lane.detail[row])}`);
    }
    return lines;
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  hover(event) {
    const [x, y] = this.point(event), lines = this.what(x, y);
    this.tip.replaceChildren(...lines.map((line, i) => make(i ? "div" : "b", line)));
    this.tip.hidden = !lines.length;
    if (lines.length) {
      this.tip.style.left = `${Math.max(Math.min(x + 14, this.width - this.tip.offsetWidth - 4), 0)}px`;
      this.tip.style.top = `${this.canvas.offsetTop + y + 18}px`;
    }
  }

  select(gap, rank) {
    if (!gap) return;
    this.selected = gap;
    const length = gap.end - gap.start, around = Math.max(2 * length, 10 * this.pixel * Number(length < 1000));
    const item = gap.item, row = gap.parts[0], step = gap.lane.stepNumber(row);
    const parts = gap.parts.map((i) => `${name(this.page, gap.lane.name[i])} ${percent(gap.lane.end[i] - gap.lane.start[i], length)}`);
    byId("said").textContent = `${rank ? `Gap ${rank} of ${this.longest.length}, longest first` : "Gap"}, ${item.title}: ${time(length)}, ` +
      `${time(gap.start - item.zero_ns)} into the window${step && `, ${step}`}; ${parts.join(", ")}; ended by ${name(this.page, gap.lane.detail[row])}.`;
    this.show(gap.start - around, gap.end + around);
  }
  longestGap() {
    this.rank = this.selected && this.longest[this.rank - 1] === this.selected ? (this.rank % this.longest.length) + 1 : 1;
    this.select(this.longest[this.rank - 1], this.rank);
  }
  nextGap(way) { // of the line that is looked at, from the selected one on, else from the middle of what is shown
    const item = (this.selected ?? this.longest[0])?.item;
    if (!item) return;
    const i = after(item.gapStarts, this.selected ? this.selected.start : (this.low + this.high) / 2);
    const before = this.selected ? i - 2 : i - 1;
    this.select(item.gaps[Math.min(Math.max(way > 0 ? i : before, 0), item.gaps.length - 1)]);
  }
  toStep(item, row) {
    const { start, end } = item.steps, length = end[row] - start[row];
    this.selected = null;
    this.show(start[row] - length, end[row] + length);
    this.canvas.scrollIntoView({ block: "nearest" });
  }

  listen() {
    const canvas = this.canvas, keys = {
      "+": () => this.zoom(0.7), "=": () => this.zoom(0.7), w: () => this.zoom(0.7), "-": () => this.zoom(1 / 0.7), s: () => this.zoom(1 / 0.7),
      ArrowLeft: () => this.pan(-0.15), a: () => this.pan(-0.15), ArrowRight: () => this.pan(0.15), d: () => this.pan(0.15),
      Home: () => this.show(this.first, this.last), 0: () => this.show(this.first, this.last),
      n: () => this.nextGap(1), p: () => this.nextGap(-1), l: () => this.longestGap(),
      Escape: () => { this.selected = null; this.tip.hidden = true; this.draw(); },
    };
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      event.preventDefault(); keys[event.key]();
    });
    const buttons = { in: keys["+"], out: keys["-"], all: keys.Home, steps: () => this.show(...this.opened), next: keys.n, previous: keys.p, longest: keys.l };
    for (const [id, act] of Object.entries(buttons)) byId(`go-${id}`)?.addEventListener("click", act); // without gaps there are fewer
    byId("go-steps").hidden = !this.page.shown;
    const further = this.items.filter((item) => item.folded), unfold = byId("go-ranks");
    unfold.hidden = !further.length;
    unfold.addEventListener("click", () => {
      for (const item of further) item.folded = !item.folded;
      unfold.setAttribute("aria-expanded", String(!further[0].folded));
      this.layout(); this.resize();
    });
    // a wheel that is scrolling the page goes on doing so
    addEventListener("scroll", () => { this.scrolled = performance.now(); }, { passive: true });
    canvas.addEventListener("wheel", (event) => {
      if (performance.now() - this.scrolled < 300) return;
      event.preventDefault();
      const unit = event.deltaMode ? 16 : 1;
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.pan((event.deltaX * unit) / this.width);
      else this.zoom(1.0025 ** (event.deltaY * unit), this.t(this.point(event)[0]));
    }, { passive: false });
    canvas.addEventListener("dblclick", (event) => this.zoom(0.4, this.t(this.point(event)[0])));
    canvas.addEventListener("pointerdown", (event) => {
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, this.point(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.pointers.has(event.pointerId)) return this.hover(event);
      const before = [...this.pointers.values()].map(([x]) => x);
      this.pointers.set(event.pointerId, this.point(event));
      const now = [...this.pointers.values()].map(([x]) => x);
      this.drag(before, now);
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => {
      this.pointers.delete(event.pointerId);
      if (event.type === "pointerup") this.hover(event);
    });
    canvas.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    const jump = (event) => {
      if (event.type === "pointermove" && !event.buttons) return;
      const at = this.first + (event.offsetX / this.width) * (this.last - this.first), half = (this.high - this.low) / 2;
      this.show(at - half, at + half);
    };
    this.minimap.addEventListener("pointerdown", (event) => { this.minimap.setPointerCapture(event.pointerId); jump(event); });
    this.minimap.addEventListener("pointermove", jump);
    byId("in-text").addEventListener("toggle", () => this.draw());
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.resize());
  }

  // One pointer moves what is under it; with two, what is under each stays under it.
  drag(before, now) {
    this.tip.hidden = true;
    if (now.length === 1) return this.pan((before[0] - now[0]) / (this.width - this.gutter));
    const [a, b] = [this.t(before[0]), this.t(before[1])], apart = now[1] - now[0];
    if (Math.abs(apart) < CLICK_PX || a === b) return undefined;
    const scale = (b - a) / apart;
    if (!(scale > 0)) return undefined;
    const low = a - (now[0] - this.gutter) * scale;
    return this.show(low, low + scale * (this.width - this.gutter));
  }

  // What is shown, in text: the time and share that each lane covers, by name of its colour where it has several.
  tell() {
    const rows = [];
    for (const { lane, item } of this.places) {
      const counted = lane.label === "gaps" ? lane.coverage.map(([colour, coverage]) => [causeOf(this.page, colour), coverage]) : [["", lane.all]];
      for (const [cause, coverage] of counted) {
        const ns = coverage.within(this.low, this.high);
        rows.push([item.title, cause ? `${lane.label}: ${cause}` : lane.label, cause ? "" : String(lane.begun(this.low, this.high)), time(ns), percent(ns, this.high - this.low)]);
      }
    }
    byId("told").replaceChildren(...rows.map((cells) => {
      const row = make("tr");
      row.append(...cells.map((cell, i) => make("td", cell, i > 1 ? "n" : "")));
      return row;
    }));
  }
}

// A column a pixel: how much of its time each colour covers, stacked. Idle time stays visible however far out.
function paintCoverage(pen, lane, [left, top], [width, height], low, pixel) {
  const columns = Math.ceil(width), filled = new Float64Array(columns);
  for (const [colour, coverage] of lane.coverage) {
    pen.fillStyle = colour;
    for (let i = 0, before = coverage.until(low); i < columns; i++) {
      const now = coverage.until(low + (i + 1) * pixel);
      const high = Math.min(((now - before) / pixel) * height, height - filled[i]);
      if (high > 0) pen.fillRect(left + i, top + height - filled[i] - high, 1, high);
      filled[i] += high; before = now;
    }
  }
}

const causeOf = (page, colour) => page.causes[colour] ?? "";

function darkOn(colour) { // whether black is easier to read on it (ITU-R BT.709)
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 107;
}

function axisLabel(ns, tick) {
  const [unit, scale] = [["s", 1e9], ["ms", 1e6], ["µs", 1e3], ["ns", 1]].find(([, s]) => Math.max(Math.abs(ns), tick) >= s) ?? ["ns", 1];
  const digits = Math.max(0, Math.ceil(Math.log10(scale / tick)));
  return `${(ns / scale).toFixed(Math.min(digits, 9))} ${unit}`;
}

// ---- steps ----------------------------------------------------------------------------------------------------------

class Steps {
  constructor(timeline) {
    this.timeline = timeline; this.page = 0; this.key = "number"; this.down = false;
    this.choice = byId("steps-of");
    const options = timeline.items.map((item, i) => (item.ranks ? null : Object.assign(make("option", item.title), { value: i }))).filter(Boolean);
    this.choice.append(...options);
    this.choice.parentElement.hidden = options.length < 2;
    this.choice.addEventListener("change", () => { this.page = 0; this.show(); });
    for (const head of document.querySelectorAll("#steps th[data-key]")) {
      head.firstElementChild.addEventListener("click", () => {
        this.down = this.key === head.dataset.key ? !this.down : head.dataset.key !== "number";
        this.key = head.dataset.key; this.page = 0; this.show();
      });
    }
    byId("steps-previous").addEventListener("click", () => { this.page--; this.show(); });
    byId("steps-next").addEventListener("click", () => { this.page++; this.show(); });
    this.show();
  }
  show() {
    const item = this.timeline.items[this.choice.value || 0], steps = item.steps, values = steps[this.key];
    const order = Array.from({ length: steps.rows }, (_, i) => i).sort((a, b) => (this.down ? values[b] - values[a] : values[a] - values[b]) || a - b);
    const pages = Math.max(Math.ceil(steps.rows / STEPS_SHOWN), 1), from = this.page * STEPS_SHOWN;
    byId("steps").tBodies[0].replaceChildren(...order.slice(from, from + STEPS_SHOWN).map((i) => this.row(item, i)));
    for (const head of document.querySelectorAll("#steps th[data-key]")) {
      if (head.dataset.key === this.key) head.setAttribute("aria-sort", this.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    byId("steps-previous").disabled = this.page === 0;
    byId("steps-next").disabled = this.page >= pages - 1;
    byId("steps-page").textContent = `page ${this.page + 1} of ${pages}, ${steps.rows.toLocaleString("en")} steps (${steps.found})`;
  }
  row(item, i) {
    const { steps } = item, row = make("tr"), number = make("th"), go = make("button", String(steps.number[i]), "plain");
    go.title = "show it in the timeline";
    go.addEventListener("click", () => this.timeline.toStep(item, i));
    number.scope = "row"; number.append(go);
    const share = percent(steps.idle[i], steps.idle[i] + steps.device[i]);
    const cells = [time(steps.host[i]), time(steps.device[i]), time(steps.idle[i]), share, String(steps.operations[i]), steps.early[i] ? "yes" : "no"];
    row.append(number, ...cells.map((cell) => make("td", cell, "n")));
    return row;
  }
}

// ---- Perfetto -------------------------------------------------------------------------------------------------------

// The Perfetto UI takes a trace from the page that opened it, once it has answered a ping (perfetto.dev, "Deep linking").
function handOver(title) {
  const ui = window.open(PERFETTO);
  if (!ui) { byId("perfetto-said").textContent = "The browser did not open the page: allow pop-ups, or use the command below."; return; }
  const bytes = bytesOf(byId("perfetto-trace").textContent);
  const ping = setInterval(() => ui.postMessage("PING", PERFETTO), 50);
  const answer = (event) => {
    if (event.origin !== PERFETTO || event.source !== ui || event.data !== "PONG") return;
    clearInterval(ping); removeEventListener("message", answer);
    ui.postMessage({ perfetto: { buffer: bytes.buffer, title } }, PERFETTO);
    byId("perfetto-said").textContent = "Handed over to the Perfetto UI.";
  };
  addEventListener("message", answer);
  setTimeout(() => { clearInterval(ping); removeEventListener("message", answer); }, 60000);
}

// ---- start ----------------------------------------------------------------------------------------------------------

async function start() {
  const perfetto = byId("to-perfetto");
  if (perfetto) { perfetto.hidden = false; perfetto.addEventListener("click", () => handOver(document.title)); }
  if (!byId("columns")) return;
  const page = JSON.parse(byId("document").textContent);
  if (typeof DecompressionStream === "undefined") {
    byId("span").textContent = "This browser cannot unpack the timeline (it knows no DecompressionStream): take a newer one.";
    return;
  }
  const timeline = new Timeline(page, await unpack(byId("columns").textContent));
  if (byId("steps")) new Steps(timeline);
  requestAnimationFrame(() => requestAnimationFrame(() => { // painted
    performance.mark("drawn");
    document.documentElement.classList.add("drawn");
  }));
  window.idlescope = timeline; // for the console, and the tests
}

start();
