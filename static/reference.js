// The reference beside the editor: what a spec may hold, to search through.

import * as api from './api.js';
import { catalogGroups } from './catalog.js';
import { h, setText } from './dom.js';
import { count } from './format.js';
import { notice } from './parts.js';

/** Asks for the catalog when it is first opened. */
export function specReference() {
  const search = h('input', {
    type: 'search',
    class: 'search',
    placeholder: 'learning_rate, dropout …',
    'aria-label': 'Search the reference',
    autocomplete: 'off',
    spellcheck: 'false',
  });
  const found = h('p', { class: 'muted', role: 'status' });
  const problem = notice();
  const list = h('div', { class: 'reference-list', tabindex: '0', role: 'region', 'aria-label': 'Reference' });
  const element = h(
    'details',
    { class: 'reference' },
    h('summary', {}, 'Reference: every field, layer, optimizer …'),
    h('div', { class: 'reference-search' }, search, found),
    problem.element,
    list,
  );
  let groups = null;

  async function load() {
    if (!element.open || groups) return;
    try {
      groups = catalogGroups(await api.catalog()).map(groupSection);
      problem.clear();
      list.replaceChildren(...groups.map((group) => group.element));
      filter();
    } catch (error) {
      problem.show(`The reference cannot be shown: ${error.message}.`);
    }
  }

  /** Every word has to occur. */
  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const group of groups ?? []) left += group.filter(words);
    setText(found, groups ? left === 1 ? '1 entry' : `${count(left)} entries` : '');
    list.scrollTop = 0;
  }

  element.addEventListener('toggle', load);
  search.addEventListener('input', filter);
  search.addEventListener('keydown', (event) => {
    // The reference lives in the form of the job, which Enter must not start.
    if (event.key === 'Enter') event.preventDefault();
  });
  return { element };
}

function groupSection({ title, rows }) {
  const items = rows.map((row) => ({ element: entry(row), text: `${title} ${row.name} ${row.aliases.join(' ')} ${row.doc}`.toLowerCase() }));
  const element = h('section', {}, h('h3', {}, title), h('ul', {}, items.map((item) => item.element)));
  return {
    element,
    /** Says how many rows are left. */
    filter(words) {
      for (const item of items) item.element.hidden = !words.every((word) => item.text.includes(word));
      const left = items.filter((item) => !item.element.hidden).length;
      element.hidden = left === 0;
      return left;
    },
  };
}

function entry({ name, aliases, doc, kind, default: standard }) {
  const required = standard === 'required';
  const limits = kind && [kind, required ? null : `default ${standard}`].filter(Boolean).join(' · ');
  return h(
    'li',
    { class: kind ? 'field' : 'type' },
    h(
      'p',
      {},
      h('code', {}, name),
      required && h('span', { class: 'required' }, 'required'),
      aliases.length > 0 && h('span', { class: 'muted' }, `also ${aliases.join(', ')}`),
    ),
    h('p', {}, doc),
    limits && h('p', { class: 'muted' }, limits),
  );
}
