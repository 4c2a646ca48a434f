// A line chart in SVG: crisp at every pixel density, coloured by CSS, drawn at most once a frame.
//
//   const chart = createChart({ title: 'Loss', xName: 'step', format: loss, series: [
//     { key: 'window', label: 'Training window', smooth: true }, { key: 'test', label: 'Test', dots: true }], log: true });
//   chart.set({ window: { xs: [...], ys: [...] }, test: { xs: [...], ys: [...] } });

import { chartCursor } from './chart-cursor.js';
import { chartTable } from './chart-table.js';
import { h, setAttribute, svg, uniqueId } from './dom.js';
import { compact } from './format.js';
import { linearScale, logScale, logTicks, niceDomain, niceTicks, quantile, smooth, thin } from './scale.js';

const MARGIN = { left: 46, right: 14, top: 12, bottom: 26 };
// With fewer points a moving average hides more than it shows.
const SMOOTH_FROM = 40;

/**
 * `format` writes values, `tick` the marks of the axis. `log` offers a logarithmic axis; `zoom` one that leaves out the steep beginning; `limits` are what values can be at
 * all, for an axis that never promises more. A series that is `optional` is not spoken of while it has no points.
 */
export function createChart({ title, xName, format, tick = format, series, height = 240, log = false, zoom = false, limits = [-Infinity, Infinity] }) {
  const on = { log: false, zoom: false, smooth: true };
  const data = Object.fromEntries(series.map(({ key }) => [key, { xs: [], ys: [] }]));
  let frame = null;

  const titleId = uniqueId('chart');
  const picture = svg('svg', { class: 'plot', role: 'img', tabindex: '0', height });
  const axes = svg('g', { class: 'axes' });
  const frameId = uniqueId('frame');
  const clip = svg('rect');
  const lines = svg('g', { class: 'lines', 'clip-path': `url(#${frameId})` });
  picture.append(svg('clipPath', { id: frameId }, clip), axes, lines);
  const empty = h('p', { class: 'plot-empty muted' }, 'Nothing to draw yet');
  const box = h('div', { class: 'plot-box' }, picture, empty);
  const table = chartTable({ title, xName, format, series, data });
  const toggles = h('div', { class: 'toggles' }, log && toggle('log', 'Log'), zoom && toggle('zoom', 'Zoom'), series.some((one) => one.smooth) && toggle('smooth', 'Smooth'));
  const names = series.map((one, index) => h('li', {}, h('span', { class: `key s${index}` }), one.label));
  // A single line is what the title says.
  const legend = h('ul', { class: 'legend', hidden: series.length === 1 }, names);
  const element = h(
    'section',
    { class: 'panel chart', 'aria-labelledby': titleId },
    h('div', { class: 'panel-head' }, h('h2', { id: titleId }, title), toggles),
    legend,
    box,
    table.element,
  );
  const cursor = chartCursor({ box, picture, series, format, xName, margin: MARGIN, height });

  function toggle(name, label) {
    const button = h('button', { type: 'button', class: 'toggle', 'aria-pressed': String(on[name]) }, label);
    button.addEventListener('click', () => {
      on[name] = !on[name];
      setAttribute(button, 'aria-pressed', String(on[name]));
      schedule();
    });
    return button;
  }

  function schedule() {
    frame ??= requestAnimationFrame(() => {
      frame = null;
      draw();
    });
  }

  function draw() {
    const width = Math.floor(box.clientWidth);
    if (width === 0) return;
    const drawable = (y) => y !== null && (!on.log || y > 0);
    const values = Object.values(data).flatMap(({ ys }) => ys.filter(drawable));
    empty.hidden = values.length > 0;
    setAttribute(picture, 'viewBox', `0 0 ${width} ${height}`);
    setAttribute(picture, 'width', String(width));
    setAttribute(picture, 'aria-label', `${title}. ${newest()}`);
    if (values.length === 0) {
      axes.replaceChildren();
      lines.replaceChildren();
      cursor.set(null);
      return;
    }

    const inner = { x0: MARGIN.left, x1: width - MARGIN.right, y0: height - MARGIN.bottom, y1: MARGIN.top };
    const xDomain = [0, Math.max(1, ...Object.values(data).map(({ xs }) => xs.at(-1) ?? 0))];
    const sx = linearScale(xDomain, [inner.x0, inner.x1]);
    const yDomain = domain(values);
    const sy = (on.log ? logScale : linearScale)(yDomain, [inner.y0, inner.y1]);

    const xTicks = niceTicks(xDomain, Math.max(2, width / 90), 1);
    const yTicks = (on.log ? logTicks : niceTicks)(yDomain, 5);
    axes.replaceChildren(
      ...yTicks.map((value) => svg('line', { x1: inner.x0, x2: inner.x1, y1: half(sy(value)), y2: half(sy(value)) })),
      ...yTicks.map((value) => svg('text', { x: inner.x0 - 8, y: sy(value) + 4, 'text-anchor': 'end' }, tick(value))),
      ...xTicks.map((value) => svg('text', { x: sx(value), y: height - 8, 'text-anchor': anchor(sx(value), inner) }, compact(value))),
    );

    setFrame(inner);
    const shown = series.map(({ key, smooth: smoothable }) => {
      const { xs, ys } = data[key];
      return { xs, ys, line: smoothable && on.smooth && ys.length >= SMOOTH_FROM ? smooth(ys) : null };
    });
    lines.replaceChildren(
      ...shown.flatMap(({ xs, ys, line }, index) => {
        const path = (from, extra) =>
          svg('path', { class: `s${index} ${extra}`, d: pathOf(xs, from, { sx, sy, drawable, limit: 2 * width }) });
        const dots = series[index].dots && xs.length <= width / 8;
        const marks = dots ? xs.map((x, i) => drawable(ys[i]) && svg('circle', { class: `s${index}`, cx: sx(x), cy: sy(ys[i]), r: 3 })) : [];
        return [path(ys, line ? 'raw' : ''), line && path(line, ''), ...marks].filter(Boolean);
      }),
    );
    cursor.set({ width, sx, sy, yDomain, drawable, shown });
  }

  /** Keeps the lines inside the axes, with room for the dots on the edge. */
  function setFrame({ x0, x1, y0, y1 }) {
    const frame = { x: x0 - 4, y: y1 - 4, width: Math.max(0, x1 - x0) + 8, height: y0 - y1 + 6 };
    for (const [name, value] of Object.entries(frame)) setAttribute(clip, name, String(value));
  }

  function domain(values) {
    let low = Infinity;
    let high = -Infinity;
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (on.log) return low < high ? [low * 0.92, high * 1.08] : [low / 2, high * 2];
    // A loss reads best against zero; zoomed in, the first tenth of the values no longer sets the scale.
    low = on.zoom ? quantile(values, 0.1) : Math.min(low, 0);
    const [nice0, nice1] = niceDomain([low, high], 5);
    return [Math.max(nice0, limits[0]), Math.min(nice1, limits[1])];
  }

  function isSpokenOf({ key, optional }) {
    return !optional || data[key].xs.length > 0;
  }

  function newest() {
    const parts = series.filter(isSpokenOf).map(({ key, label }) => {
      const { xs, ys } = data[key];
      return xs.length > 0 ? `${label} ${format(ys.at(-1))} at ${xName} ${xs.at(-1)}` : `${label}: no values yet`;
    });
    return parts.join('; ');
  }

  const observer = new ResizeObserver(schedule);
  observer.observe(box);

  return {
    element,
    /** `next`: the points of each series by key, `xs` ascending; the arrays are read, never changed. */
    set(next) {
      Object.assign(data, next);
      names.forEach((name, index) => { name.hidden = !isSpokenOf(series[index]); });
      table.refresh();
      schedule();
    },
  };
}

/** Lines one pixel wide are sharp only on half pixels. */
const half = (value) => Math.round(value) + 0.5;

function anchor(x, inner) {
  if (x < inner.x0 + 8) return 'start';
  return x > inner.x1 - 8 ? 'end' : 'middle';
}

function pathOf(xs, ys, { sx, sy, drawable, limit }) {
  let d = '';
  let pen = 'M';
  for (const i of thin(ys, limit)) {
    if (!drawable(ys[i])) {
      pen = 'M';
      continue;
    }
    d += `${pen}${sx(xs[i]).toFixed(1)} ${sy(ys[i]).toFixed(1)}`;
    pen = 'L';
  }
  return d;
}
