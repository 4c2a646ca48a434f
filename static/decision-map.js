// Where in the plane a network with two inputs says which class, with the training samples on top: a single affine
// layer draws one straight line, which is why it cannot solve XOR.

import * as api from './api.js';
import { h, setAttribute, setText, throttle } from './dom.js';
import * as format from './format.js';
import { classColour, classMark, paintMap } from './map-paint.js';

const SIDE = 40;
const SAMPLES = 500;
// The server's longest list of samples, and less than its longest list of instances.
const PAGE = 100;
const AT_ONCE = 1000;
const MARGIN = 0.15;
const REFRESH_MS = 1000;

/** `dataset`: a promise of its entry in the list of datasets. Hidden unless its samples are pairs of numbers. */
export function decisionMap({ job, dataset, signal }) {
  const canvas = h('canvas', { role: 'img' });
  const legend = h('ul', { class: 'map-legend' });
  const said = h('p', {});
  const extent = h('p', { class: 'muted' });
  const element = h(
    'section',
    { class: 'panel map', hidden: true, 'aria-label': 'Decision map' },
    h('div', { class: 'panel-head' }, h('h2', {}, 'Decision map')),
    h('div', { class: 'map-box' }, canvas, h('div', { class: 'map-about' }, said, legend, extent)),
  );
  const place = loadPlace({ job, dataset, signal });
  let answers = null;
  let marks = [];

  const refresh = throttle(async () => {
    const known = await place;
    const fresh = known && (await predict(job.id, [...known.grid, ...known.points], signal));
    if (!fresh || signal.aborted) return;
    if (!answers) {
      marks = known.names.map((_, label) => h('span', { 'aria-hidden': 'true' }, classMark(label)));
      legend.append(...marks.map((mark, label) => h('li', {}, mark, ` ${known.names[label]}`)));
    }
    answers = fresh;
    element.hidden = false;
    tell(known);
    draw();
  }, REFRESH_MS, signal);

  function tell({ points, labels, box }) {
    const right = labels.filter((label, i) => answers[SIDE * SIDE + i].label === label).length;
    const all = right === points.length;
    const share = `${all ? 'All' : `${format.count(right)} of`} ${format.plural(points.length, 'sample')}`;
    setText(said, `${share} lie in the area of their class${all ? '' : '; the others are ringed'}.`);
    setText(extent, `First input ${range(box.x)}, to the right; second ${range(box.y)}, upwards. The paler, the less sure.`);
    setAttribute(canvas, 'aria-label', `Classes over the plane of the two inputs. ${said.textContent}`);
  }

  async function draw() {
    const known = await place;
    if (!answers || canvas.clientWidth === 0) return;
    paintMap(canvas, { ...known, side: SIDE, answers });
    marks.forEach((mark, label) => { mark.style.color = classColour(label); });
  }

  const observer = new ResizeObserver(draw);
  observer.observe(canvas);
  signal.addEventListener('abort', () => observer.disconnect());
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw, { signal });

  return { element, refresh };
}

const range = ([from, to]) => `from ${format.loss(Number(from.toPrecision(3)))} to ${format.loss(Number(to.toPrecision(3)))}`;

/** Samples, and a grid around them; null for a dataset that is no plane. */
async function loadPlace({ job, dataset, signal }) {
  const info = await dataset;
  if (!info?.available || info.dtype !== 'float32' || String(info.input) !== '2') return null;
  const wanted = Math.min(SAMPLES, job.spec.dataset.train_limit ?? info.train_samples);
  const offsets = Array.from({ length: Math.ceil(wanted / PAGE) }, (_, page) => page * PAGE);
  const pages = await Promise.all(offsets.map((offset) => answerOrNull(api.samples(info.name, { split: 'train', offset, limit: PAGE }, signal))));
  const samples = pages.flatMap((page) => page?.data ?? []).slice(0, wanted);
  if (samples.length === 0) return null;
  const points = samples.map(({ values }) => values);
  const box = { x: widened(points.map(([x]) => x)), y: widened(points.map(([, y]) => y)) };
  return { points, labels: samples.map(({ label }) => label), names: info.class_names, box, grid: gridOf(box) };
}

function widened(values) {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const margin = (most - least || 1) * MARGIN;
  return [least - margin, most + margin];
}

/** The middles of `SIDE`×`SIDE` cells, row by row from the top. */
function gridOf({ x, y }) {
  const middle = ([from, to], i) => from + ((to - from) * (i + 0.5)) / SIDE;
  return Array.from({ length: SIDE * SIDE }, (_, i) => [middle(x, i % SIDE), middle(y, SIDE - 1 - Math.floor(i / SIDE))]);
}

/** A prediction for each instance, or null while there is no checkpoint to predict with. */
async function predict(jobId, instances, signal) {
  const chunks = Array.from({ length: Math.ceil(instances.length / AT_ONCE) }, (_, i) => instances.slice(i * AT_ONCE, (i + 1) * AT_ONCE));
  const body = (chunk) => JSON.stringify({ instances: chunk });
  const answers = await Promise.all(chunks.map((chunk) => answerOrNull(api.predict(`job:${jobId}`, body(chunk), 'application/json', signal))));
  return answers.includes(null) ? null : answers.flatMap(({ predictions }) => predictions);
}

/** The map is an extra: what does not come leaves it as it was. */
function answerOrNull(promise) {
  return promise.catch(() => null);
}
