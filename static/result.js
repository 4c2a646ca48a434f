// What the final weights make of the test samples: how classes are taken for each other, and the worst mistakes.

import { confusionMatrix } from './confusion.js';
import { h } from './dom.js';
import * as format from './format.js';
import { mistakesList } from './mistakes.js';

// A larger matrix can no longer be read.
const MATRIX_CLASSES = 40;
const HALF_WIDTH_CLASSES = 12;

/** Hidden until there is an evaluation. `dataset`: a promise of its entry in the list of datasets. */
export function resultPanel({ dataset, signal }) {
  const element = h('div', { class: 'result', hidden: true });
  let drawn = false;

  return {
    element,
    /** `evaluation`: the job's final one, or null before it is done. */
    async set(evaluation) {
      if (drawn || !evaluation || evaluation.samples === 0) return;
      drawn = true;
      const found = await dataset;
      if (signal.aborted) return;
      const names = classNames(found, evaluation.classes.length);
      element.replaceChildren(
        h(
          'div',
          { class: names.length > HALF_WIDTH_CLASSES ? 'rows' : 'columns' },
          matrixPanel(evaluation, names),
          classesPanel(evaluation, names),
        ),
        mistakesPanel(evaluation, { names, dataset: found, signal }),
      );
      element.hidden = false;
    },
  };
}

/** Numbers where the dataset is gone, or is another one by now. */
function classNames(dataset, count) {
  return dataset?.class_names.length === count ? dataset.class_names : Array.from({ length: count }, (_, label) => String(label));
}

function panel(title, ...children) {
  return h('section', { class: 'panel' }, h('div', { class: 'panel-head' }, h('h2', {}, title)), ...children);
}

function scrolling(label, ...children) {
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': label }, ...children);
}

function matrixPanel({ confusion, samples }, names) {
  if (names.length > MATRIX_CLASSES) {
    const words = `${format.count(names.length)} classes are too many to show; the diagnostics of the job have it as JSON.`;
    return panel('Confusion matrix', h('p', { class: 'muted' }, words));
  }
  return panel(
    'Confusion matrix',
    scrolling('Confusion matrix', confusionMatrix(confusion, names)),
    h(
      'p',
      { class: 'muted' },
      `${format.plural(samples, 'test sample')}. Rows are true classes, columns what the network said; red are mistakes, the more the stronger.`,
    ),
  );
}

function classesPanel({ classes, accuracy, macro_f1 }, names) {
  const header = ['Class', 'Precision', 'Recall', 'F1', 'Samples'].map((name, i) => h('th', { scope: 'col', class: i > 0 ? 'number' : null }, name));
  const number = (text) => h('td', { class: 'number' }, text);
  const rows = classes.map(({ support, precision, recall, f1 }, label) =>
    h('tr', {}, h('th', { scope: 'row' }, names[label]), ...[precision, recall, f1].map((share) => number(format.percent(share, 1))), number(format.count(support))),
  );
  return panel(
    'Classes',
    scrolling('Precision, recall and F1 of each class', h('table', { class: 'classes' }, h('thead', {}, h('tr', {}, header)), h('tbody', {}, rows))),
    h('p', { class: 'muted' }, `Accuracy ${format.percent(accuracy)} · mean F1 ${format.percent(macro_f1)}`),
  );
}

function mistakesPanel({ worst }, context) {
  if (worst.length === 0) return panel('Worst mistakes', h('p', { class: 'muted' }, 'None: every test sample is read right.'));
  return panel('Worst mistakes', mistakesList({ worst, ...context }), h('p', { class: 'muted' }, 'True class → what the network said, and how sure it was.'));
}
