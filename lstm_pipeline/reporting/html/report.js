// Draws the report's charts as SVG: hover, zoom by drag, wheel or keys, hide series, choose a feature. No dependencies.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const namespace = document.getElementById("namespace").namespaceURI;
  const margin = { left: 58, right: 14, top: 10, bottom: 30 };
  const minute = 60, hour = 3600, day = 86400;
  const timeSteps = [1, 5, 15, 30, minute, 5 * minute, 15 * minute, 30 * minute, hour, 3 * hour, 6 * hour, 12 * hour,
    day, 2 * day, 7 * day, 14 * day, 30 * day, 91 * day, 182 * day, 365 * day, 730 * day, 1826 * day, 3652 * day];

  function make(parent, tag, attributes, text, space) {
    const made = space ? document.createElementNS(space, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.appendChild(made);
    return made;
  }

  const element = (tag, attributes, parent, text) => make(parent, tag, attributes, text, namespace);

  function number(value) {
    if (value === null || value === undefined) return "–";
    const long = Math.abs(value) >= 1e4 && Math.abs(value) < 1e9;
    return long ? Math.round(value).toLocaleString("en-US") : String(Number(value.toPrecision(4)));
  }

  const clocks = {};
  function clock(name) {
    if (clocks[name]) return clocks[name];
    const packed = data.clocks[name], times = [];
    if (packed.n) times.push(packed.t);
    for (const [step, count] of packed.d || [[packed.s, packed.n - 1]])
      for (let index = 0; index < count; index++) times.push(times[times.length - 1] + step);
    return (clocks[name] = times);
  }

  function xs(series) {
    if (!series.clock) return series.x;
    const times = clock(series.clock);
    let row = series.i;
    return Array.from({ length: series.n }, (_, index) => times[index ? (row += series.d ? series.d[index - 1] : 1) : row]);
  }

  function shownTime(seconds, step) {
    const text = new Date(seconds * 1000).toISOString();
    if (step >= day) return text.slice(0, step >= 365 * day ? 4 : step >= 28 * day ? 7 : 10);
    return text.slice(5, step < minute ? 19 : 16).replace("T", " ");
  }

  function ticks(low, high, count, isTime) {
    const rough = (high - low) / Math.max(1, count);
    const power = 10 ** Math.floor(Math.log10(rough || 1));
    const steps = isTime ? timeSteps : [1, 2, 5, 10].map((factor) => factor * power);
    const step = steps.find((each) => each >= rough * 0.999) || steps[steps.length - 1], found = [];
    for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step)
      found.push(isTime ? at : Number(at.toPrecision(12)));
    return { step, at: found };
  }

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.plot = figure.querySelector(".plot");
      this.asked = new Map(); // series → whether the reader hid it
      this.legend = make(null, "div", { class: "legend" });
      this.plot.before(this.legend);
      this.readout = make(null, "p", { class: "readout", "aria-live": "polite" });
      this.plot.after(this.readout);
      this.hint = "Point for values, drag to zoom. Keys: arrows, +, −, 0.";
    }

    show(spec, title) {
      this.spec = spec;
      this.title = title;
      this.figure.classList.toggle("empty", !spec);
      this.plot.replaceChildren();
      this.legend.replaceChildren();
      this.readout.textContent = spec ? this.hint : "Nothing to draw for this feature.";
      if (!spec) return;
      this.series = spec.series.map((each) => ({ ...each, at: xs(each), dashed: each.colour === 4 }));
      this.isTime = spec.series.some((each) => each.clock);
      const half = (each) => (each.width || 0) / 2;
      const all = this.series.flatMap((each) => each.at.flatMap((x) => [x - half(each), x + half(each)]));
      this.whole = [Math.min(...all), Math.max(...all)];
      if (this.whole[0] === this.whole[1]) this.whole = [this.whole[0] - 1, this.whole[1] + 1];
      this.first = this.whole;
      if (spec.view) {
        const times = clock("all");
        this.first = [times[spec.view[0]], times[Math.min(spec.view[1], times.length - 1)]];
        if (this.first[0] >= this.first[1]) this.first = this.whole;
      }
      this.view = this.first.slice();
      this.cursor = null;
      this.controls();
      this.draw();
    }

    isHidden(series) {
      return this.asked.has(series.name) ? this.asked.get(series.name) : Boolean(series.hidden);
    }

    controls() {
      for (const series of this.series) {
        const pressed = () => ({ "aria-pressed": String(!this.isHidden(series)) });
        const key = { type: "button", class: `key colour${series.colour} ${series.kind}`, title: "Show or hide" };
        const button = make(this.legend, "button", { ...key, ...pressed() }, series.name);
        button.addEventListener("click", () => {
          this.asked.set(series.name, !this.isHidden(series));
          button.setAttribute("aria-pressed", pressed()["aria-pressed"]);
          this.draw();
        });
      }
      const tool = (text, action) => make(this.legend, "button", { type: "button", class: "tool" }, text)
        .addEventListener("click", () => { this.view = action(); this.draw(); });
      tool("Reset zoom", () => this.first.slice());
      if (this.first !== this.whole) tool("Whole history", () => this.whole.slice());
    }

    scaleY(visible) {
      let low = Infinity, high = -Infinity;
      const take = (value) => { if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); } };
      for (const series of visible)
        series.at.forEach((x, index) => {
          if (x < this.view[0] || x > this.view[1]) return;
          for (const side of [series.lo, series.hi, series.y]) if (side) take(side[index]);
          if (series.kind === "bars") take(0);
        });
      if (this.spec.zero) take(0);
      (this.spec.levels || []).forEach(take);
      if (low > high) [low, high] = [0, 1];
      const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
      return [low === 0 && this.spec.zero ? 0 : low - room, high + room];
    }

    draw() {
      const width = Math.max(280, this.plot.clientWidth), height = this.spec.square ? Math.min(width, 380) : 270;
      const right = width - margin.right, bottom = height - margin.bottom;
      const visible = this.series.filter((each) => !this.isHidden(each));
      const [low, high] = this.scaleY(visible);
      const X = (x) => margin.left + ((x - this.view[0]) / (this.view[1] - this.view[0])) * (right - margin.left);
      const Y = (y) => bottom - ((y - low) / (high - low)) * (bottom - margin.top);
      const focused = this.svg && document.activeElement === this.svg;
      const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: 0, "aria-label":
        `${this.title}. ${this.spec.series.map((each) => each.name).join(", ")}. Use the arrow keys to read values.` });
      const clip = `clip-${this.figure.id}`;
      const box = { x: margin.left, y: margin.top, width: right - margin.left, height: bottom - margin.top };
      element("rect", box, element("clipPath", { id: clip }, element("defs", {}, svg)));
      for (const at of ticks(low, high, 5, false).at) {
        element("line", { x1: margin.left, x2: right, y1: Y(at), y2: Y(at), class: "grid" }, svg);
        element("text", { x: margin.left - 6, y: Y(at) + 4, class: "tick end" }, svg, number(at));
      }
      const { step, at: places } = ticks(this.view[0], this.view[1], Math.max(3, width / 120), this.isTime);
      for (const at of places) {
        element("line", { x1: X(at), x2: X(at), y1: bottom, y2: bottom + 4, class: "axis" }, svg);
        const label = this.isTime ? shownTime(at, step) : number(at);
        const x = Math.min(Math.max(X(at), margin.left + 10), right - label.length * 2.6);
        element("text", { x, y: bottom + 18, class: "tick" }, svg, label);
      }
      element("line", { x1: margin.left, x2: right, y1: bottom, y2: bottom, class: "axis" }, svg);
      const body = element("g", { "clip-path": `url(#${clip})` }, svg);
      for (const level of this.spec.levels || [])
        element("line", { x1: margin.left, x2: right, y1: Y(level), y2: Y(level), class: level ? "bound" : "zero" }, body);
      for (const mark of this.spec.marks || [])
        element("line", { x1: X(mark), x2: X(mark), y1: margin.top, y2: bottom, class: "bound" }, body);
      for (const series of visible) this.drawSeries(series, body, X, Y);
      const cursor = element("line", { y1: margin.top, y2: bottom, class: "cursor", visibility: "hidden" }, body);
      const brush = element("rect", { y: margin.top, height: bottom - margin.top, class: "brush", width: 0 }, body);
      Object.assign(this, { svg, X, visible, cursorLine: cursor, brush, left: margin.left, right });
      this.points = [...new Set(visible.flatMap((each) => each.at))]
        .filter((x) => x >= this.view[0] && x <= this.view[1]).sort((a, b) => a - b);
      this.listen(width);
      this.plot.replaceChildren(svg);
      if (focused) svg.focus({ preventScroll: true });
      if (this.cursor !== null) this.read(this.cursor);
    }

    drawSeries(series, body, X, Y) {
      const colour = `colour${series.colour}`, points = series.at.map((x, index) => [x, index]);
      if (series.kind === "bars") {
        for (const [x, index] of points) {
          if (series.y[index] === null) continue;
          const left = X(x - series.width / 2), width = Math.max(1, X(x + series.width / 2) - left - 1);
          const y = Y(Math.max(0, series.y[index])), height = Y(Math.min(0, series.y[index])) - y;
          element("rect", { x: left, width, y, height, class: `bar ${colour}` }, body);
        }
      } else if (series.kind === "band") {
        const known = points.filter(([, index]) => series.lo[index] !== null && series.hi[index] !== null);
        const edge = (side) => known.map(([x, index]) => `${X(x).toFixed(1)},${Y(side[index]).toFixed(1)}`);
        const corners = [...edge(series.hi), ...edge(series.lo).reverse()].join(" ");
        element("polygon", { points: corners, class: `band ${colour}` }, body);
      } else if (series.kind === "line") {
        let path = "", pen = "M";
        for (const [x, index] of points) {
          if (series.y[index] === null) { pen = "M"; continue; }
          path += `${pen}${X(x).toFixed(1)} ${Y(series.y[index]).toFixed(1)}`;
          pen = "L";
        }
        element("path", { d: path || "M0 0", class: `line ${colour}${series.dashed ? " dashed" : ""}` }, body);
      }
      const alone = series.kind === "line" && points.length <= 2 && !series.dashed;
      if (series.kind === "points" || series.dots || alone)
        for (const [x, index] of points)
          if (series.y[index] !== null)
            element("circle", { cx: X(x), cy: Y(series.y[index]), r: 2.6, class: `dot ${colour}` }, body);
    }

    listen(width) {
      const at = (event) => {
        const box = this.svg.getBoundingClientRect();
        return ((event.clientX - box.left) / box.width) * width;
      };
      const unscaled = (pixel) =>
        this.view[0] + ((pixel - this.left) / (this.right - this.left)) * (this.view[1] - this.view[0]);
      const on = (name, action, options) => this.svg.addEventListener(name, action, options);
      let start = null;
      on("pointerdown", (event) => {
        if (event.pointerType !== "mouse" || event.button !== 0) return;
        start = at(event);
        this.svg.setPointerCapture(event.pointerId);
      });
      on("pointermove", (event) => {
        this.read(this.nearest(unscaled(at(event))));
        if (start === null) return;
        this.brush.setAttribute("x", Math.min(start, at(event)));
        this.brush.setAttribute("width", Math.abs(at(event) - start));
      });
      on("pointerup", (event) => {
        const ends = [start, at(event)].sort((a, b) => a - b), dragged = start !== null && ends[1] - ends[0] > 8;
        start = null;
        if (dragged) this.zoom(...ends.map(unscaled));
      });
      on("pointerleave", () => { if (start === null) this.read(null); });
      on("dblclick", () => { this.view = this.first.slice(); this.draw(); });
      on("wheel", (event) => {
        if (!event.ctrlKey && document.activeElement !== this.svg) return; // the page scrolls
        event.preventDefault();
        this.scale(event.deltaY < 0 ? 0.8 : 1.25, unscaled(at(event)));
      }, { passive: false });
      on("keydown", (event) => {
        const centre = this.cursor === null ? (this.view[0] + this.view[1]) / 2 : this.cursor;
        const index = this.cursor === null ? -1 : this.points.indexOf(this.cursor);
        const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (move) this.read(this.points[Math.min(Math.max(index + move, 0), this.points.length - 1)]);
        else if (event.key === "+" || event.key === "=") this.scale(0.7, centre);
        else if (event.key === "-") this.scale(1.4, centre);
        else if (event.key === "0" || event.key === "Escape") { this.view = this.first.slice(); this.draw(); }
        else return;
        event.preventDefault();
      });
    }

    nearest(x) {
      return this.points.reduce((best, each) => (Math.abs(each - x) < Math.abs(best - x) ? each : best), this.points[0]);
    }

    scale(factor, centre) { this.zoom(...this.view.map((end) => centre + (end - centre) * factor)); }

    zoom(low, high) {
      low = Math.max(low, this.whole[0]);
      high = Math.min(high, this.whole[1]);
      if (high - low > (this.whole[1] - this.whole[0]) / 1e5) { this.view = [low, high]; this.draw(); }
    }

    read(x) {
      this.cursor = x === undefined ? null : x;
      this.cursorLine.setAttribute("visibility", this.cursor === null ? "hidden" : "visible");
      if (this.cursor === null) { this.readout.textContent = this.hint; return; }
      for (const end of ["x1", "x2"]) this.cursorLine.setAttribute(end, this.X(x));
      const texts = [];
      for (const series of this.visible) {
        const index = series.at.indexOf(x), values = (series.kind === "band" ? [series.lo, series.hi] : [series.y])
          .map((each) => each[index]);
        if (index >= 0 && values[0] !== null) texts.push(`${series.name} ${values.map(number).join(" to ")}`);
      }
      const label = this.isTime ? new Date(x * 1000).toISOString().slice(0, 16).replace("T", " ").replace(" 00:00", "") :
        `${this.figure.dataset.x || ""} ${number(x)}`.trim();
      this.readout.textContent = `${label}: ${texts.join(" · ") || "no value"}`;
    }
  }

  const charts = [...document.querySelectorAll("figure[data-chart]")].map((figure) => new Chart(figure));
  const chooser = document.getElementById("feature");
  function choose(index) {
    const feature = data.features[index];
    chooser.value = String(index);
    for (const name of document.querySelectorAll(".chosen")) name.textContent = feature.name;
    for (const row of document.querySelectorAll("tr[data-feature]"))
      row.classList.toggle("current", row.dataset.feature === String(index));
    for (const chart of charts) {
      const { chart: kind, group } = chart.figure.dataset, caption = chart.figure.querySelector("figcaption b").textContent;
      if (group === undefined) chart.show(feature.charts[kind], `${caption}, ${feature.name}`);
      else if (!chart.spec) chart.show(data.losses[group], `${caption}, group ${group}`);
    }
  }
  chooser.addEventListener("change", () => choose(Number(chooser.value)));
  for (const link of document.querySelectorAll("a[data-choose]"))
    link.addEventListener("click", () => choose(Number(link.dataset.choose)));
  if (data.features.length) choose(0);
  addEventListener("resize", () => charts.forEach((chart) => chart.spec && chart.draw()));
})();
