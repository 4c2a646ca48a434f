// The "New job" dialog: what to start from, the spec as JSON, a reference of its fields, and what the server has against it.

import * as api from './api.js';
import { copyButton } from './copy.js';
import { h } from './dom.js';
import { prettyJson } from './format.js';
import { jsonEditor } from './json-editor.js';
import { JsonFault, locate, rangeOf } from './json-locate.js';
import { notice } from './parts.js';
import { presets } from './presets.js';
import { specReference } from './reference.js';
import { jobHref } from './router.js';
import { curlSubmit } from './snippets.js';
import { startChoices } from './starts.js';

let dialog = null;

/** Opens with `spec`, or with what was there last time. */
export function openNewJob(spec) {
  dialog ??= build();
  if (spec) dialog.set(spec);
  dialog.element.showModal();
  dialog.editor.area.focus();
}

function build() {
  const editor = jsonEditor('Spec');
  const problem = notice();
  const start = h('button', { type: 'submit', class: 'button primary' }, 'Start training');
  const starts = startChoices({ onPick: set });
  const form = h(
    'form',
    {},
    h('div', { class: 'panel-head' }, h('h2', { id: 'new-job-title' }, 'New job'), h('button', { type: 'button', class: 'button small', onclick: () => element.close() }, 'Close')),
    starts.element,
    h('div', { class: 'spec-columns' }, editor.element, specReference().element),
    problem.element,
    h('div', { class: 'dialog-foot' }, h('span', { class: 'muted' }, 'Ctrl+Enter starts'), copyButton(() => curlSubmit(editor.get()), 'Copy as curl'), start),
  );
  const element = h('dialog', { class: 'dialog', 'aria-labelledby': 'new-job-title' }, form);

  function set(spec) {
    editor.set(prettyJson(spec));
    problem.clear();
    starts.mark(editor.get());
  }

  /** Where everything is in the text, or null after showing why it is no JSON. */
  function read(text) {
    try {
      return locate(text);
    } catch (error) {
      if (!(error instanceof JsonFault)) throw error;
      const at = Math.min(error.offset, text.length);
      editor.show([{ range: [at, at + 1], pointer: '', detail: `This is not JSON: ${error.message}.` }]);
      return null;
    }
  }

  function refuse(error, ranges) {
    const faults = (error.errors ?? []).map(({ pointer = '', detail }) => ({ pointer, detail, range: rangeOf(ranges, pointer) }));
    editor.show(faults.sort((a, b) => a.range[0] - b.range[0]));
    problem.show(`Not started: ${error.message}.`);
    if (faults.length > 0) editor.select(faults[0].range);
  }

  async function submit() {
    const text = editor.get();
    problem.clear();
    editor.show([]);
    const ranges = read(text);
    if (!ranges || start.disabled) return;
    start.disabled = true;
    try {
      const job = await api.submit(text);
      element.close();
      location.hash = jobHref(job.id);
    } catch (error) {
      refuse(error, ranges);
    }
    start.disabled = false;
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    submit();
  });
  editor.area.addEventListener('input', () => starts.mark(editor.get()));
  editor.area.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      submit();
    }
  });
  document.body.append(element);
  set(presets[0].spec);
  return { element, editor, set };
}
