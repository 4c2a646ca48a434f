// "Try it": draw a digit or take a test sample, and see what a model makes of it.

import * as api from './api.js';
import { onConnection } from './connection.js';
import { h, setText } from './dom.js';
import { drawPad } from './draw.js';
import { modelPicker } from './model-picker.js';
import { openNewJob } from './new-job.js';
import { notice } from './parts.js';
import { predictionPanel } from './prediction.js';

// Often enough to feel live, seldom enough not to ask for every millimetre of a stroke.
const PACE_MS = 120;

export function tryView(root, { query, signal }) {
  document.title = 'Try it · dojang';
  const problem = notice();
  const result = predictionPanel();
  const pad = drawPad({ onChange: onDrawing, signal });
  const about = h('p', { class: 'muted sample-about', role: 'status' });
  const undo = h('button', { type: 'button', class: 'button', onclick: () => pad.undo() }, 'Undo');
  const clear = h('button', { type: 'button', class: 'button', onclick: () => pad.clear() }, 'Clear');
  const random = h('button', { type: 'button', class: 'button', onclick: takeSample }, 'Test sample');
  const picker = modelPicker({ wanted: query.get('model'), onPick: again });
  const empty = h(
    'div',
    { class: 'empty', hidden: true },
    h('h2', {}, 'No model yet'),
    h('p', {}, 'A model appears here as soon as a training job has saved its first checkpoint.'),
    h('button', { type: 'button', class: 'button primary', onclick: () => openNewJob() }, 'Train one'),
  );
  const panel = h(
    'div',
    { class: 'try', hidden: true },
    h('section', { class: 'panel', 'aria-label': 'Drawing' }, pad.element, h('div', { class: 'pad-tools' }, undo, clear, random), about),
    h('section', { class: 'panel', 'aria-label': 'Prediction' }, result.element),
  );
  root.append(h('div', { class: 'page-head' }, h('h1', {}, 'Try it'), picker.element), problem.element, empty, panel);

  let sample = null;
  let running = null;
  let timer = null;
  let pending = false;

  function onDrawing() {
    undo.disabled = pad.isEmpty();
    if (sample) stopAsking();
    sample = null;
    setText(about, '');
    if (pad.isEmpty()) {
      stopAsking();
      result.clear();
      problem.clear();
    } else {
      schedule();
    }
  }

  function again() {
    stopAsking();
    if (sample || !pad.isEmpty()) ask();
  }

  function stopAsking() {
    clearTimeout(timer);
    timer = null;
    pending = false;
    running?.abort();
    running = null;
  }

  /** While drawing, one request at a time: aborting each for the next would never show an answer on a slow line. */
  function schedule() {
    if (running) pending = true;
    else timer ??= setTimeout(ask, PACE_MS);
  }

  async function ask() {
    timer = null;
    pending = false;
    const mine = new AbortController();
    running = mine;
    const asked = sample;
    try {
      const body = asked ? JSON.stringify({ image: asked.pixels, pixel_range: '0-255' }) : await pad.toBlob();
      const answer = await api.predict(picker.value(), body, asked ? 'application/json' : 'image/png', mine.signal, { return_input: true });
      if (mine.signal.aborted) return;
      result.show(answer, asked ? asked.label : null);
      problem.clear();
    } catch (error) {
      if (error.name === 'AbortError' || mine.signal.aborted) return;
      problem.show(explain(error));
    }
    running = null;
    if (pending) schedule();
  }

  function explain(error) {
    const waiting = error instanceof api.Problem && error.status === 404 && picker.value().startsWith('job:');
    return waiting ? 'This job has saved no checkpoint yet. Try again in a few seconds.' : `No answer: ${error.message}.`;
  }

  async function takeSample() {
    random.disabled = true;
    try {
      const { data: sets } = await api.datasets(signal);
      const wanted = picker.dataset();
      const pictures = sets.filter((one) => one.available && one.dtype === 'uint8' && String(one.input) === '1,28,28');
      if (sets.some((one) => one.name === wanted) && !pictures.some((one) => one.name === wanted)) {
        throw new Error(`${wanted} has no pictures of 28×28 to show`);
      }
      const set = pictures.find((one) => one.name === wanted) ?? pictures[0];
      if (!set) throw new Error('no dataset is available');
      const { data } = await api.sample(set.name, 'test', Math.floor(Math.random() * set.test_samples), signal);
      stopAsking();
      [sample] = data;
      pad.showSample(sample.pixels);
      undo.disabled = true;
      setText(about, `Test sample ${sample.index} of ${set.name}, labelled ${sample.label}`);
      ask();
    } catch (error) {
      if (error.name !== 'AbortError') problem.show(`No sample: ${error.message}.`);
    }
    random.disabled = false;
  }

  async function load() {
    try {
      const any = await picker.load(signal);
      empty.hidden = any;
      panel.hidden = picker.element.hidden = !any;
      problem.clear();
    } catch (error) {
      if (error.name !== 'AbortError') problem.show(`The models cannot be listed: ${error.message}.`);
    }
  }

  onConnection((reachable) => reachable && load(), signal);
  signal.addEventListener('abort', stopAsking);
  undo.disabled = true;
  picker.element.hidden = true;
  load();
}
