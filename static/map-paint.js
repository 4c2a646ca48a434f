// The picture of a decision map: cells in the colours of the classes, and the samples as marks.

import { h } from './dom.js';

const COLOURS = ['--accent', '--second', '--third', '--bad', '--good', '--warn'];
// Told apart without colours, too.
const MARKS = ['●', '■', '▲', '◆'];
const PALEST = 0.12;
const FULLEST = 0.6;

export const classMark = (label) => MARKS[label % MARKS.length];

/** A colour of the style sheet, or for the classes beyond them one by the golden angle. */
export function classColour(label) {
  return label < COLOURS.length ? styleColour(COLOURS[label]) : `hsl(${(label * 137.5) % 360} 60% 50%)`;
}

const styleColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * `answers`: predictions of `side`×`side` cells, row by row from the top, then of `points`, whose classes are `labels`;
 * `box`: the plane's part that the cells cover.
 */
export function paintMap(canvas, { side, answers, points, labels, names, box }) {
  const size = Math.round(canvas.clientWidth * devicePixelRatio);
  canvas.width = canvas.height = size;
  const context = canvas.getContext('2d');
  context.imageSmoothingEnabled = false;
  context.drawImage(cells(side, answers, names.map((_, label) => classColour(label))), 0, 0, size, size);
  const radius = size / (points.length > 50 ? 110 : 50);
  points.forEach(([x, y], i) => {
    const at = [size * along(box.x, x), size * (1 - along(box.y, y))];
    paintMark(context, at, { label: labels[i], radius, wrong: answers[side * side + i].label !== labels[i] });
  });
}

const along = ([from, to], value) => (value - from) / (to - from);

function cells(side, answers, colours) {
  const canvas = h('canvas', { width: side, height: side });
  const context = canvas.getContext('2d');
  const chance = 1 / colours.length;
  for (let i = 0; i < side * side; i += 1) {
    const { label, confidence } = answers[i];
    const sure = Math.min(1, Math.max(0, (confidence - chance) / (1 - chance)));
    context.globalAlpha = PALEST + (FULLEST - PALEST) * sure;
    context.fillStyle = colours[label];
    context.fillRect(i % side, Math.floor(i / side), 1, 1);
  }
  return canvas;
}

function paintMark(context, [x, y], { label, radius, wrong }) {
  context.beginPath();
  outline(context, MARKS[label % MARKS.length], { x, y, r: radius });
  context.fillStyle = classColour(label);
  context.fill();
  context.strokeStyle = styleColour('--surface');
  context.lineWidth = radius / 4;
  context.stroke();
  if (!wrong) return;
  context.beginPath();
  context.arc(x, y, radius * 1.7, 0, 2 * Math.PI);
  context.strokeStyle = styleColour('--text');
  context.stroke();
}

function outline(context, mark, { x, y, r }) {
  if (mark === '●') return context.arc(x, y, r, 0, 2 * Math.PI);
  if (mark === '■') return context.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r);
  const corners = mark === '▲' ? [[0, -1.2], [1.1, 0.8], [-1.1, 0.8]] : [[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]];
  for (const [dx, dy] of corners) context.lineTo(x + dx * r, y + dy * r);
  return context.closePath();
}
