// What goes on inside the network at the ends of epochs: which values flow, how many units are dead, how large the
// parameters, their gradients and their updates are, and the first filters.

import { h, setAttribute, setText, uniqueId } from './dom.js';
import { filterPictures } from './filters.js';
import * as format from './format.js';
import { histogram } from './histogram.js';

// As many as one request brings.
const KEPT = 20;
const WORRYING_DEAD_SHARE = 0.5;
const COLUMNS = ['Tensor', 'Values', 'Norm', 'Gradient', 'Update', 'Update / norm'];

/** Hidden until there is something to show. */
export function insidePanel() {
  const titleId = uniqueId('inside');
  const picker = epochPicker(draw);
  const cards = h('ul', { class: 'layers' });
  const filters = filterPictures();
  const tensors = tensorTable();
  const element = h(
    'section',
    { class: 'panel inside', hidden: true, 'aria-labelledby': titleId },
    h('div', { class: 'panel-head' }, h('h2', { id: titleId }, 'Inside'), picker.element),
    h(
      'div',
      {},
      h('h3', {}, 'Outputs of each layer in the last mini-batch of the epoch'),
      cards,
      h('p', { class: 'muted' }, 'Bars grow with the square root of their counts. The dashed line is zero.'),
    ),
    filters.element,
    tensors.element,
  );
  let epochs = [];
  let layers = [];

  function draw() {
    const look = epochs[picker.index()];
    if (layers.length !== look.layers.length) {
      layers = look.layers.map(layerCard);
      cards.replaceChildren(...layers.map((card) => card.element));
    }
    layers.forEach((card, i) => card.set(look.layers[i]));
    filters.set(look.filters);
    tensors.set(look.layers.flatMap((layer) => layer.parameters));
  }

  return {
    element,
    /** The epoch after which there may be news: of a long first one they come before its end. */
    known: () => Math.max(0, (epochs.at(-1)?.epoch ?? 0) - 1),
    /** `more`: epochs from the newest known one on. */
    add(more) {
      const later = more.filter(({ step }) => step > (epochs.at(-1)?.step ?? 0));
      if (later.length === 0) return;
      const shown = epochs[picker.index()]?.epoch;
      epochs = [...epochs.filter(({ epoch }) => epoch < later[0].epoch), ...later].slice(-KEPT);
      element.hidden = false;
      picker.set(epochs, shown);
      draw();
    },
  };
}

/** A slider over the known epochs. It stays with the newest unless somebody has moved it to another. */
function epochPicker(onPick) {
  const range = h('input', { type: 'range', min: 0, max: 0, value: 0, 'aria-label': 'Epoch' });
  const said = h('output', { class: 'muted' });
  const element = h('div', { class: 'epoch-picker' }, range, said);
  let epochs = [];

  function tell() {
    const { epoch, step } = epochs[range.valueAsNumber];
    setText(said, `epoch ${format.count(epoch)}`);
    setAttribute(range, 'aria-valuetext', `epoch ${epoch}, step ${step}`);
  }

  range.addEventListener('input', () => {
    tell();
    onPick();
  });
  return {
    element,
    index: () => range.valueAsNumber,
    /** `shown`: the epoch on the page. */
    set(next, shown) {
      const atNewest = epochs.length === 0 || range.valueAsNumber === epochs.length - 1;
      epochs = next;
      range.max = epochs.length - 1;
      range.valueAsNumber = atNewest ? epochs.length - 1 : Math.max(0, epochs.findIndex(({ epoch }) => epoch === shown));
      range.hidden = epochs.length < 2;
      tell();
    },
  };
}

function layerCard(first) {
  const name = `${first.layer} ${first.type}`;
  const picture = histogram();
  const dead = h('span', { class: 'dead', title: 'Outputs that were exactly zero for every sample' });
  const [least, middle, greatest] = [h('span', {}), h('span', {}), h('span', {})];
  return {
    element: h(
      'li',
      {},
      h('p', { class: 'layer-name' }, h('b', {}, name), dead),
      picture.element,
      h('p', { class: 'histogram-axis' }, least, middle, greatest),
    ),
    set({ activations, dead_share }) {
      const worrying = dead_share > WORRYING_DEAD_SHARE;
      setText(dead, dead_share > 0 ? `${worrying ? '⚠ ' : ''}${format.percent(dead_share, 1)} dead` : '');
      dead.classList.toggle('worrying', worrying);
      picture.set(activations, `Outputs of layer ${name}`);
      setText(least, format.loss(activations.min));
      setText(middle, `${short(activations.mean)} ± ${short(activations.std)}`);
      setText(greatest, format.loss(activations.max));
    },
  };
}

function tensorTable() {
  const body = h('tbody');
  const header = COLUMNS.map((name, i) => h('th', { scope: 'col', class: i > 1 ? 'number' : null }, name));
  const element = h(
    'div',
    { hidden: true },
    h('h3', {}, 'Parameters: L2 norms of their values, of the gradient and of the last update'),
    h(
      'div',
      { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Parameters' },
      h('table', { class: 'tensors' }, h('thead', {}, h('tr', {}, header)), body),
    ),
  );
  let rows = [];
  return {
    element,
    set(tensors) {
      element.hidden = tensors.length === 0;
      if (rows.length !== tensors.length) {
        rows = tensors.map(tensorRow);
        body.replaceChildren(...rows.map((row) => row.element));
      }
      rows.forEach((row, i) => row.set(tensors[i]));
    },
  };
}

function tensorRow({ name }) {
  const picture = histogram();
  const cells = COLUMNS.slice(2).map(() => h('td', { class: 'number' }));
  return {
    element: h('tr', {}, h('th', { scope: 'row' }, name), h('td', {}, picture.element), cells),
    set({ values, norm, gradient_norm, update_norm }) {
      picture.set(values, `Values of ${name}`);
      const numbers = [norm, gradient_norm, update_norm, norm > 0 ? update_norm / norm : null];
      cells.forEach((cell, i) => setText(cell, format.loss(numbers[i])));
    },
  };
}

const short = (value) => format.loss(Number(value.toPrecision(2)));
