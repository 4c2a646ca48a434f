// Copying text to the clipboard, with and without the clipboard API.

import { h } from './dom.js';

const SHOWN_MS = 1500;

/** `text` is a function, so that the button copies what is true when it is pressed. */
export function copyButton(text, label = 'Copy') {
  const button = h('button', { type: 'button', class: 'button small' }, label);
  const said = h('span', { class: 'visually-hidden', role: 'status' });
  let timer = null;
  button.addEventListener('click', async () => {
    const done = await copy(text());
    button.textContent = done ? 'Copied' : 'Not copied';
    said.textContent = button.textContent;
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.textContent = label;
      said.textContent = '';
    }, SHOWN_MS);
  });
  return h('span', { class: 'copy' }, button, said);
}

/** A block of code with its copy button; `set(text)` changes it. */
export function codeBlock(text, label) {
  const code = h('code', {}, text);
  const element = h('div', { class: 'code' }, h('pre', { tabindex: '0', 'aria-label': label }, code), copyButton(() => code.textContent));
  return {
    element,
    set(next) {
      if (code.textContent !== next) code.textContent = next;
    },
  };
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** Plain HTTP on a LAN address is no secure context, and there the clipboard API does not exist. */
function copyBySelection(text) {
  const area = h('textarea', { class: 'visually-hidden', readonly: true, 'aria-hidden': 'true' });
  const focused = document.activeElement;
  // Inside an open modal dialog everything else is inert, so the area must live next to the button.
  (focused?.closest('dialog') ?? document.body).append(area);
  area.value = text;
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  focused?.focus();
  return done;
}
