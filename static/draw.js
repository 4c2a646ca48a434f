// The pad to draw a digit on: white ink on black, as MNIST is. Holds strokes, not pixels, so that undo is exact, the
// picture on screen is as sharp as the screen, and the one sent always has the same size.

import { h } from './dom.js';
import { pixelCanvas } from './pixels.js';

const SENT = 280;
// The server scales a digit to 20 pixels' height; a pen of this width then is about two pixels wide, as in MNIST.
const PEN = 22 / SENT;

export function drawPad({ onChange, signal }) {
  const canvas = h('canvas', { class: 'pad', role: 'img' });
  const hint = h('p', { class: 'pad-hint' }, 'Draw a digit here');
  const element = h('div', { class: 'pad-box' }, canvas, hint);
  let strokes = [];
  let pen = null;
  let sample = null;

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  function changed() {
    paint();
    onChange();
  }

  function paint() {
    const side = Math.round(canvas.clientWidth * devicePixelRatio) || SENT;
    if (canvas.width !== side) canvas.width = canvas.height = side;
    render(canvas, strokes, sample);
    hint.hidden = strokes.length > 0 || sample !== null;
    canvas.setAttribute('aria-label', sample ? 'A test sample' : `Drawing pad, ${strokes.length} strokes drawn`);
  }

  canvas.addEventListener('pointerdown', (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    sample = null;
    pen = [place(event)];
    strokes.push(pen);
    changed();
  });
  canvas.addEventListener('pointermove', (event) => {
    if (!pen || !event.isPrimary) return;
    // Between two frames a fast hand makes several points; without them curves turn into corners.
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length > 0 ? events : [event]) pen.push(place(one));
    changed();
  });
  for (const type of ['pointerup', 'pointercancel']) {
    canvas.addEventListener(type, () => {
      pen = null;
    });
  }
  const observer = new ResizeObserver(paint);
  observer.observe(canvas);
  signal.addEventListener('abort', () => observer.disconnect());

  return {
    element,
    isEmpty: () => strokes.length === 0,
    undo() {
      strokes.pop();
      changed();
    },
    clear() {
      strokes = [];
      sample = null;
      changed();
    },
    /** Shows 784 bytes in place of a drawing. */
    showSample(pixels) {
      strokes = [];
      sample = pixels;
      paint();
    },
    /** The drawing as a PNG. */
    toBlob() {
      const sent = h('canvas', { width: SENT, height: SENT });
      render(sent, strokes, null);
      return new Promise((done) => sent.toBlob(done, 'image/png'));
    },
  };
}

function render(canvas, strokes, sample) {
  const context = canvas.getContext('2d');
  const side = canvas.width;
  context.fillStyle = '#000';
  context.fillRect(0, 0, side, side);
  if (sample) {
    context.imageSmoothingEnabled = false;
    context.drawImage(pixelCanvas(sample, (value) => value), 0, 0, side, side);
    return;
  }
  context.strokeStyle = '#fff';
  context.lineWidth = PEN * side;
  context.lineCap = context.lineJoin = 'round';
  for (const points of strokes) {
    const at = (i) => points[i].map((part) => part * side);
    context.beginPath();
    context.moveTo(...at(0));
    // Curves through the midpoints; a lone point becomes a dot by its round cap.
    for (let i = 1; i < points.length; i += 1) {
      const [x0, y0] = at(i - 1);
      const [x1, y1] = at(i);
      context.quadraticCurveTo(x0, y0, (x0 + x1) / 2, (y0 + y1) / 2);
    }
    context.lineTo(...at(points.length - 1));
    context.stroke();
  }
}
