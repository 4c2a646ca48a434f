// What a new job can start from: the server's recipes, or a few presets where the server has none.

import * as api from './api.js';
import { h, setAttribute, setText } from './dom.js';
import { prettyJson } from './format.js';
import { presets } from './presets.js';

/** `onPick(spec)` when one is chosen. */
export function startChoices({ onPick }) {
  const list = h('div', { class: 'presets', role: 'group', 'aria-label': 'Start from' });
  const words = h('span', {});
  const whole = h('button', { type: 'button', class: 'link' }, 'Write the whole spec out');
  const about = h('p', { class: 'recipe-about muted', role: 'status', hidden: true }, words, ' ', whole);
  const element = h('div', { class: 'starts' }, list, about);
  let choices = [];
  let chosen = null;
  let text = '';

  function show(starts) {
    choices = starts.map((start) => choice(start, onPick));
    list.replaceChildren(...choices.map(({ button }) => button));
    mark(text);
  }

  /** `now`: the text of the editor. */
  function mark(now) {
    text = now;
    chosen = choices.find((one) => one.text === now) ?? null;
    for (const one of choices) setAttribute(one.button, 'aria-pressed', String(one === chosen));
    about.hidden = !chosen?.start.recipe;
    setText(words, about.hidden ? '' : chosen.start.recipe.description);
  }

  whole.addEventListener('click', () => onPick(chosen.start.recipe.spec));
  show(presets);
  api.recipes().then(({ data }) => data.length > 0 && show([presets[0], ...data.map(recipeStart)]), () => {
    // A server without recipes, or none at all just now: the presets do as well.
  });
  return { element, mark };
}

/** A spec names its recipe, so that it stays one as the recipe is improved; what it learns from is for the reader to change. */
function recipeStart(recipe) {
  const dataset = recipe.spec?.dataset ?? presets[0].spec.dataset;
  return { label: recipe.title, hint: recipe.source, spec: { recipe: recipe.name, dataset }, recipe };
}

function choice(start, onPick) {
  const button = h(
    'button',
    { type: 'button', class: 'preset', 'aria-pressed': 'false', onclick: () => onPick(start.spec) },
    h('b', {}, start.label),
    h('span', { class: 'muted' }, start.hint),
  );
  return { start, button, text: prettyJson(start.spec) };
}
