// What the model says: its answer, a bar for each class, and the picture as the model saw it.

import { h, setText } from './dom.js';
import { percent } from './format.js';
import { pixelCanvas } from './pixels.js';

const CLASSES = 10;

export function predictionPanel() {
  const answer = h('p', { class: 'answer' });
  const confidence = h('p', { class: 'muted' });
  const truth = h('p', { class: 'truth' });
  const said = h('div', { class: 'said', role: 'status' }, answer, h('div', {}, confidence, truth));
  const seen = h('canvas', { class: 'seen', width: 28, height: 28, role: 'img', 'aria-label': 'The picture as the model saw it' });
  const seenBox = h('figure', { class: 'seen-box' }, seen, h('figcaption', { class: 'muted' }, 'What the model sees, 28×28'));
  const bars = Array.from({ length: CLASSES }, (_, label) => {
    const fill = h('div', { class: 'bar-fill' });
    const value = h('span', { class: 'number muted' });
    const element = h('li', {}, h('b', {}, String(label)), h('div', { class: 'bar' }, fill), value);
    return { element, fill, value };
  });
  const element = h(
    'div',
    { class: 'prediction' },
    h('div', { class: 'said-row' }, said, seenBox),
    h('ul', { class: 'probabilities', 'aria-label': 'Probability of each class' }, bars.map((bar) => bar.element)),
  );

  function setBars(probabilities, winner) {
    bars.forEach(({ element: row, fill, value }, label) => {
      const probability = probabilities?.[label] ?? 0;
      fill.style.transform = `scaleX(${probability})`;
      row.classList.toggle('winner', label === winner);
      setText(value, probabilities ? percent(probability, 1) : '');
    });
  }

  function clear() {
    setText(answer, '?');
    setText(confidence, 'Draw a digit, or take a test sample.');
    setText(truth, '');
    truth.className = 'truth';
    pixelCanvas(Array(784).fill(0), (value) => value, seen);
    setBars(null, null);
  }

  clear();
  return {
    element,
    clear,
    /** `label`: what it really is, for a test sample; null for a drawing. */
    show({ predictions: [first], inputs }, label) {
      setText(answer, first.class);
      setText(confidence, `${percent(first.confidence, 1)} sure`);
      const right = first.label === label;
      setText(truth, label === null ? '' : right ? 'Right.' : `Wrong: it is a ${label}.`);
      truth.className = label === null ? 'truth' : `truth ${right ? 'right' : 'wrong'}`;
      if (inputs?.[0]) pixelCanvas(inputs[0], (value) => Math.round(value * 255), seen);
      setBars(first.probabilities, first.label);
    },
  };
}
