// Arrays of numbers as pictures.

import { h } from './dom.js';

/**
 * Paints values of shape `[C, H, W]`, grey or, with three channels, in colour; `toByte` maps a value to 0–255. Another
 * number of channels is painted one below the other.
 */
export function pixelCanvas(values, toByte, canvas = h('canvas'), [channels, height, width] = [1, 28, 28]) {
  const colours = channels === 3 ? 3 : 1;
  canvas.width = width;
  canvas.height = colours === 3 ? height : channels * height;
  const context = canvas.getContext('2d');
  const image = context.createImageData(canvas.width, canvas.height);
  const plane = canvas.width * canvas.height;
  for (let i = 0; i < plane; i += 1) {
    const at = (channel) => toByte(values[Math.min(channel, colours - 1) * plane + i]);
    image.data.set([at(0), at(1), at(2), 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Whether the samples of a dataset, an entry in the list of them, are pictures; of an unknown one nobody can tell. */
export function isPicture(dataset) {
  return dataset === undefined || dataset.input.length === 3;
}
