// The confusion matrix as a table that is also a heat map: rows are true classes, columns predicted ones.

import { h } from './dom.js';
import { count, percent } from './format.js';

// Longer names stand upright over their columns.
const SHORT_NAME = 3;

/** `matrix[true][predicted]` numbers of samples; `names` of the classes. */
export function confusionMatrix(matrix, names) {
  const mistakes = matrix.flatMap((row, label) => row.filter((_, predicted) => predicted !== label));
  const most = Math.max(1, ...mistakes);
  const corner = h('th', { scope: 'col' }, h('span', { class: 'visually-hidden' }, 'True class, by predicted class'));
  const head = h('tr', {}, corner, names.map((name) => h('th', { scope: 'col' }, h('span', {}, name))));
  const rows = matrix.map((row, label) => {
    const support = row.reduce((sum, one) => sum + one, 0);
    const cells = row.map((samples, predicted) => {
      const right = predicted === label;
      return cell({ samples, support, right, heat: samples / (right ? support || 1 : most), says: `${names[label]} read as ${names[predicted]}` });
    });
    return h('tr', {}, h('th', { scope: 'row' }, names[label]), cells);
  });
  const upright = names.some((name) => name.length > SHORT_NAME);
  return h('table', { class: `confusion ${upright ? 'upright' : ''}` }, h('thead', {}, head), h('tbody', {}, rows));
}

function cell({ samples, support, right, heat, says }) {
  const kind = samples === 0 ? 'none' : right ? 'right' : 'wrong';
  const title = `${says}: ${count(samples)} of ${count(support)} (${percent(samples / (support || 1), 1)})`;
  const element = h('td', { class: kind, title }, count(samples));
  element.style.setProperty('--heat', heat.toFixed(3));
  return element;
}
