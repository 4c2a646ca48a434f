// The numbers of a chart as a table, for those who cannot or would rather not read a picture.
// Filled only while it is open.

import { h } from './dom.js';
import { count } from './format.js';

const ROWS = 60;

export function chartTable({ title, xName, format, series, data }) {
  const head = h('tr');
  const body = h('tbody');
  const element = h(
    'details',
    { class: 'chart-table' },
    h('summary', {}, 'As a table'),
    h(
      'div',
      { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `${title}: values` },
      h(
        'table',
        {},
        h('thead', {}, head),
        body,
      ),
    ),
  );

  function refresh() {
    if (!element.open) return;
    const shown = series.filter(({ key, optional }) => !optional || data[key].xs.length > 0);
    head.replaceChildren(...[xName, ...shown.map(({ label }) => label)].map((name) => h('th', { scope: 'col' }, name)));
    const columns = shown.map(({ key }) => new Map(data[key].xs.map((x, i) => [x, data[key].ys[i]])));
    const rows = places().map((x) =>
      h('tr', {}, h('th', { scope: 'row' }, count(x)), columns.map((column) => h('td', {}, column.has(x) ? format(column.get(x)) : ''))),
    );
    body.replaceChildren(...rows);
  }

  /** An even choice of every series, newest first. */
  function places() {
    const chosen = new Set();
    for (const { key } of series) {
      const { xs } = data[key];
      const stride = Math.max(1, Math.ceil(xs.length / ROWS));
      for (let i = xs.length - 1; i >= 0; i -= stride) chosen.add(xs[i]);
    }
    return [...chosen].sort((a, b) => b - a);
  }

  element.addEventListener('toggle', refresh);
  return { element, refresh };
}
