// A small histogram in SVG, stretched to the width it gets. The numbers are in its label, for those who cannot see it.

import { setAttribute, svg } from './dom.js';
import { loss } from './format.js';

const HEIGHT = 48;

export function histogram() {
  const bars = svg('path', { class: 'bars' });
  const zero = svg('line', { class: 'zero', y1: 0, y2: HEIGHT });
  const element = svg('svg', { class: 'histogram', role: 'img', preserveAspectRatio: 'none', height: HEIGHT }, bars, zero);
  return {
    element,
    /** `what`: whose values these are. */
    set({ min, max, mean, std, counts }, what) {
      const most = Math.max(1, ...counts);
      // Square roots: next to the zeros of a ReLU every other bar would be flat.
      const bar = (count, i) => `M${i} ${HEIGHT}v${(-HEIGHT * Math.sqrt(count / most)).toFixed(2)}h0.9V${HEIGHT}z`;
      setAttribute(element, 'viewBox', `0 0 ${counts.length} ${HEIGHT}`);
      setAttribute(bars, 'd', counts.map((count, i) => (count > 0 ? bar(count, i) : '')).join(''));
      const x = max > min ? (-min / (max - min)) * counts.length : -1;
      setAttribute(zero, 'x1', x.toFixed(2));
      setAttribute(zero, 'x2', x.toFixed(2));
      zero.classList.toggle('on', min < 0 && max > 0);
      setAttribute(element, 'aria-label', `${what}: from ${loss(min)} to ${loss(max)}, mean ${loss(mean)}, standard deviation ${loss(std)}`);
    },
  };
}
