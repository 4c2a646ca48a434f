// The filters of a convolution as small pictures, each from its least value (black) to its greatest (white).

import { h, setText } from './dom.js';
import { plural, shape } from './format.js';
import { pixelCanvas } from './pixels.js';

export function filterPictures() {
  const pictures = h('div', { class: 'filters', role: 'img' });
  const title = h('h3', {});
  const element = h('div', { hidden: true }, title, pictures);
  let canvases = [];

  return {
    element,
    /** `filters`: `{name, shape: [F, C, H, W], values}`, or null where there is no convolution. */
    set(filters) {
      element.hidden = !filters;
      if (!filters) return;
      const [count, ...one] = filters.shape;
      const size = one.reduce((product, axis) => product * axis);
      setText(title, `Filters of ${filters.name}`);
      pictures.setAttribute('aria-label', `${plural(count, 'filter')} of ${shape(one)}, each from its least to its greatest value`);
      if (canvases.length !== count) {
        canvases = Array.from({ length: count }, () => h('canvas'));
        pictures.replaceChildren(...canvases);
      }
      canvases.forEach((canvas, i) => paint(canvas, filters.values.slice(i * size, (i + 1) * size), one));
    },
  };
}

function paint(canvas, values, size) {
  const least = Math.min(...values);
  const span = Math.max(...values) - least;
  pixelCanvas(values, (value) => (span > 0 ? Math.round((255 * (value - least)) / span) : 128), canvas, size);
}
