// The crosshair of a chart: pointer or arrow keys choose a place, a small box tells the values there.

import { h, svg } from './dom.js';
import { count } from './format.js';
import { nearest } from './scale.js';

export function chartCursor({ box, picture, series, format, xName, margin, height }) {
  const rule = svg('line', { class: 'rule', y1: margin.top, y2: height - margin.bottom });
  const dots = series.map((_, index) => svg('circle', { class: `cursor-dot s${index}`, r: 4 }));
  const group = svg('g', { class: 'cursor' }, rule, ...dots);
  const tip = h('div', { class: 'tip', hidden: true });
  // Hidden from readers while the pointer moves, spoken when the keyboard does.
  const spoken = h('p', { class: 'visually-hidden', 'aria-live': 'polite' });
  picture.append(group);
  box.append(tip, spoken);
  let plot = null;
  let at = null;

  /** Places a reader can stop at: the points of the series with the most of them. */
  function stops() {
    return plot.shown.reduce((most, one) => (one.xs.length > most.length ? one.xs : most), []);
  }

  function hide() {
    at = null;
    group.classList.remove('on');
    tip.hidden = true;
  }

  function show() {
    if (!plot || at === null) return hide();
    const left = plot.sx(at);
    rule.setAttribute('x1', left);
    rule.setAttribute('x2', left);
    const rows = plot.shown.map(({ xs, ys, line }, index) => {
      const i = nearest(xs, at);
      const visible = i >= 0 && plot.drawable(ys[i]) && isNear(xs, i);
      const shown = visible && (line ?? ys)[i] >= plot.yDomain[0];
      dots[index].classList.toggle('on', shown);
      if (!visible) return null;
      dots[index].setAttribute('cx', plot.sx(xs[i]));
      dots[index].setAttribute('cy', plot.sy((line ?? ys)[i]));
      const elsewhere = xs[i] !== at && ` at ${count(xs[i])}`;
      const smooth = line && h('span', { class: 'muted' }, ` smooth ${format(line[i])}`);
      return h('p', {}, h('span', { class: `key s${index}` }), `${series[index].label} `, h('b', {}, format(ys[i])), smooth, elsewhere);
    });
    tip.replaceChildren(h('p', { class: 'muted' }, `${xName} ${count(at)}`), ...rows.filter(Boolean));
    group.classList.add('on');
    tip.hidden = false;
    const room = plot.width - left - 12 >= tip.offsetWidth;
    tip.style.left = `${room ? left + 12 : Math.max(0, left - 12 - tip.offsetWidth)}px`;
  }

  /** A point an epoch away must not be told as the value here. */
  function isNear(xs, i) {
    const gap = Math.abs(xs[i] - at);
    const spacing = xs.length > 1 ? (xs.at(-1) - xs[0]) / (xs.length - 1) : xs[0];
    return gap <= Math.max(spacing * 0.6, 1);
  }

  function point(event) {
    if (!plot) return;
    const x = event.clientX - picture.getBoundingClientRect().left;
    const xs = stops();
    const span = plot.sx(1) - plot.sx(0);
    at = xs[nearest(xs, (x - plot.sx(0)) / span)] ?? null;
    show();
  }

  function key(event) {
    if (!plot) return;
    const xs = stops();
    const stride = Math.max(1, Math.round(xs.length / 100)) * (event.shiftKey ? 10 : 1);
    const here = at === null ? xs.length - 1 : nearest(xs, at);
    const targets = { ArrowLeft: here - stride, ArrowRight: here + stride, Home: 0, End: xs.length - 1 };
    if (event.key === 'Escape') return hide();
    if (!(event.key in targets)) return;
    event.preventDefault();
    at = xs[Math.min(xs.length - 1, Math.max(0, targets[event.key]))];
    show();
    spoken.textContent = [...tip.children].map((line) => line.textContent).join(', ');
  }

  picture.addEventListener('pointermove', point);
  picture.addEventListener('pointerdown', point);
  picture.addEventListener('pointerleave', hide);
  picture.addEventListener('blur', hide);
  picture.addEventListener('keydown', key);

  return {
    /** `next`: what was drawn last, or null when there is nothing. */
    set(next) {
      plot = next;
      show();
    },
  };
}
