// The curves of a job: loss and accuracy, and the learning rate where it is not the same throughout.

import { createChart } from './chart.js';
import { h, setText } from './dom.js';
import * as format from './format.js';

const SERIES = [
  { key: 'window', label: 'Training window', smooth: true },
  { key: 'test', label: 'Test, each evaluation', dots: true },
  { key: 'validation', label: 'Validation, each evaluation', dots: true, optional: true },
];

export function jobCharts() {
  const losses = createChart({ title: 'Loss', xName: 'step', format: format.loss, log: true, series: SERIES });
  const accuracies = createChart({
    title: 'Accuracy',
    xName: 'step',
    format: format.percent,
    tick: format.roundPercent,
    zoom: true,
    limits: [0, 1],
    series: SERIES,
  });
  const rates = createChart({
    title: 'Learning rate',
    xName: 'step',
    format: format.loss,
    height: 130,
    log: true,
    series: [{ key: 'rate', label: 'Learning rate' }],
  });
  rates.element.classList.add('wide');
  rates.element.hidden = true;
  let varies = false;
  const thinned = h('p', { class: 'muted', hidden: true });

  return {
    elements: [h('div', { class: 'columns' }, losses.element, accuracies.element), rates.element, thinned],
    /** Draws what a `History` holds. */
    set({ steps, epochs, resolution }) {
      setText(thinned, describe(resolution));
      thinned.hidden = thinned.textContent === '';
      for (const [chart, what] of [[losses, 'loss'], [accuracies, 'accuracy']]) {
        const heldOut = epochs[`validation_${what}`].some((value) => value !== null);
        chart.set({
          window: { xs: steps.step, ys: steps[what] },
          test: { xs: epochs.step, ys: epochs[`test_${what}`] },
          validation: heldOut ? { xs: epochs.step, ys: epochs[`validation_${what}`] } : { xs: [], ys: [] },
        });
      }
      varies ||= steps.learning_rate.some((rate) => rate !== null && rate !== steps.learning_rate[0]);
      rates.element.hidden = !varies;
      if (varies) rates.set({ rate: { xs: steps.step, ys: steps.learning_rate } });
    },
  };
}

/** Says so where the curves have become so long that some of their points are left out. */
function describe({ steps, epochs }) {
  const windows = [steps > 1 && format.plural(steps, 'step'), epochs > 1 && format.plural(epochs, 'epoch')].filter(Boolean);
  return windows.length === 0 ? '' : `A long training: of each ${windows.join(' and each ')} the first, last, least and largest values are drawn.`;
}
