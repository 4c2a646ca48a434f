// Small pieces that several views share: status chip, progress bar, cancel, delete and pause buttons, notices.

import * as api from './api.js';
import { h, setAttribute, setText } from './dom.js';
import { progressPercent } from './format.js';

const CONFIRM_MS = 4000;
const ENDED = new Set(['succeeded', 'failed', 'cancelled']);

export const isEnded = (job) => ENDED.has(job.status);

export function statusChip() {
  const element = h('span', { class: 'chip' });
  return {
    element,
    set(job) {
      const running = job.status === 'running';
      setAttribute(element, 'data-status', job.status);
      setText(element, running && job.cancel_requested ? 'cancelling' : running && job.pause_requested ? 'pausing' : job.status);
    },
  };
}

export function progressBar(label) {
  const fill = h('div', { class: 'bar-fill' });
  const element = h('div', { class: 'bar', role: 'progressbar', 'aria-label': label, 'aria-valuemin': 0, 'aria-valuemax': 100 }, fill);
  return {
    element,
    set(job) {
      const fraction = Math.min(1, Math.max(0, job.progress?.fraction ?? 0));
      fill.style.transform = `scaleX(${fraction})`;
      setAttribute(element, 'data-status', job.status);
      setAttribute(element, 'aria-valuenow', String(Math.floor(fraction * 100)));
      setAttribute(element, 'aria-valuetext', `${progressPercent(fraction)}, ${job.status}`);
    },
  };
}

/** Asks once more before it acts: what is lost by that cannot be given back. */
function confirmedButton({ word, name, act, onError }) {
  const element = h('button', { type: 'button', class: 'button small', 'aria-label': `${word} ${name}` }, word);
  let timer = null;
  function relax() {
    clearTimeout(timer);
    timer = null;
    element.classList.remove('danger');
    setText(element, word);
    element.setAttribute('aria-label', `${word} ${name}`);
  }
  element.addEventListener('click', async () => {
    if (timer === null) {
      element.classList.add('danger');
      setText(element, 'Really?');
      element.setAttribute('aria-label', `Really ${word.toLowerCase()} ${name}? Press again to confirm`);
      timer = setTimeout(relax, CONFIRM_MS);
      return;
    }
    relax();
    element.disabled = true;
    try {
      await act();
    } catch (error) {
      onError(error);
    }
    element.disabled = false;
  });
  return element;
}

export function cancelButton({ jobId, name, onCancelled, onError }) {
  const act = async () => onCancelled(await api.cancel(jobId));
  const element = confirmedButton({ word: 'Cancel', name, act, onError });
  return {
    element,
    set(job) {
      element.hidden = isEnded(job) || job.cancel_requested;
    },
  };
}

/** Deletes a job that has ended, for good. */
export function deleteButton({ jobId, name, onDeleted, onError }) {
  const act = async () => {
    await api.remove(jobId);
    onDeleted();
  };
  const element = confirmedButton({ word: 'Delete', name, act, onError });
  return {
    element,
    set(job) {
      element.hidden = !isEnded(job);
    },
  };
}

/** Pauses what waits or runs, and resumes what is paused, is about to be, or was cancelled. */
export function pauseButton({ jobId, name, onChanged, onError }) {
  const element = h('button', { type: 'button', class: 'button small' });
  let resumes = false;
  element.addEventListener('click', async () => {
    element.disabled = true;
    try {
      onChanged(await (resumes ? api.resume(jobId) : api.pause(jobId)));
    } catch (error) {
      onError(error);
    }
    element.disabled = false;
  });
  return {
    element,
    set(job) {
      resumes = job.status === 'paused' || job.status === 'cancelled' || job.pause_requested || job.cancel_requested;
      const word = resumes ? 'Resume' : 'Pause';
      setText(element, word);
      setAttribute(element, 'aria-label', `${word} ${name}`);
      element.hidden = job.status === 'succeeded' || job.status === 'failed';
    },
  };
}

/** A line that says what went wrong, and is silent otherwise. */
export function notice() {
  const element = h('p', { class: 'notice', role: 'alert', hidden: true });
  return {
    element,
    show(message) {
      element.hidden = false;
      setText(element, message);
    },
    clear() {
      element.hidden = true;
      setText(element, '');
    },
  };
}
