// A textarea with line numbers, in which faults are shown on their lines and listed below; each leads to its place.

import { h, uniqueId } from './dom.js';
import { lineOf } from './json-locate.js';

export function jsonEditor(label) {
  const areaId = uniqueId('json');
  const faultsId = uniqueId('faults');
  const gutter = h('div', { class: 'gutter', 'aria-hidden': 'true' });
  // Unwrapped, so that a line of the text is a line of the gutter.
  const area = h('textarea', {
    id: areaId,
    rows: 16,
    wrap: 'off',
    spellcheck: 'false',
    autocapitalize: 'off',
    autocomplete: 'off',
    'aria-describedby': faultsId,
  });
  const faults = h('ul', { class: 'faults', id: faultsId, role: 'alert' });
  const element = h('div', { class: 'editor' }, h('label', { for: areaId }, label), h('div', { class: 'editor-box' }, gutter, area), faults);
  let marked = new Set();

  function number() {
    const lines = area.value.split('\n').length;
    gutter.replaceChildren(
      ...Array.from({ length: lines }, (_, i) => h('div', { class: marked.has(i + 1) ? 'marked' : null }, String(i + 1))),
    );
    gutter.scrollTop = area.scrollTop;
  }

  function select([start, end]) {
    area.focus();
    area.setSelectionRange(start, end);
    const lineHeight = area.scrollHeight / area.value.split('\n').length;
    area.scrollTop = Math.max(0, (lineOf(area.value, start) - 4) * lineHeight);
  }

  function show(list) {
    marked = new Set(list.map(({ range }) => lineOf(area.value, range[0])));
    area.setAttribute('aria-invalid', String(list.length > 0));
    faults.replaceChildren(
      ...list.map(({ range, pointer, detail }) =>
        h(
          'li',
          {},
          h('button', { type: 'button', class: 'link', onclick: () => select(range) }, `Line ${lineOf(area.value, range[0])}`),
          pointer && h('code', {}, pointer),
          h('span', {}, detail),
        ),
      ),
    );
    number();
  }

  // A fault's place is true only for the text it was found in.
  area.addEventListener('input', () => (marked.size > 0 ? show([]) : number()));
  area.addEventListener('scroll', () => {
    gutter.scrollTop = area.scrollTop;
  });

  return {
    element,
    area,
    show,
    select,
    get: () => area.value,
    set(text) {
      area.value = text;
      area.scrollTop = 0;
      show([]);
    },
  };
}
