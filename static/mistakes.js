// The samples that were wrong by most, each with its picture where it has one.

import * as api from './api.js';
import { h } from './dom.js';
import * as format from './format.js';
import { pixelCanvas } from './pixels.js';

const SHOWN = 12;

/** `dataset`: its entry in the list of datasets, or undefined if it is gone. */
export function mistakesList({ worst, names, dataset, signal }) {
  return h('ul', { class: 'mistakes' }, worst.slice(0, SHOWN).map((mistake) => figure({ mistake, names, dataset, signal })));
}

function figure({ mistake, names, dataset, signal }) {
  const { index, label, predicted, predicted_probability, label_probability, loss } = mistake;
  const title = `Test sample ${format.count(index)}: ${output(label_probability)} for ${names[label]}, loss ${format.loss(loss)}`;
  const words = `${names[label]} → ${names[predicted]} (${output(predicted_probability)})`;
  const element = h('figure', { title }, h('figcaption', {}, words));
  if (dataset?.available && dataset.input.length === 3) addPicture(element, { dataset, index, signal });
  return h('li', {}, element);
}

/** Not every loss makes outputs probabilities. */
function output(value) {
  return value >= 0 && value <= 1 ? format.percent(value, 0) : format.loss(value);
}

/** A list without pictures still says what it has to say, so a sample that does not come is no error. */
async function addPicture(element, { dataset, index, signal }) {
  const answer = await api.sample(dataset.name, 'test', index, signal).catch(() => null);
  const pixels = answer?.data[0]?.pixels;
  if (!pixels) return;
  const canvas = h('canvas', { 'aria-hidden': 'true' });
  element.prepend(pixelCanvas(pixels, (value) => value, canvas, dataset.input));
}
