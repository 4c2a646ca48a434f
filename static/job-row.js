// One line of the job list.

import { h, setAttribute, setText } from './dom.js';
import * as format from './format.js';
import { cancelButton, progressBar, statusChip } from './parts.js';
import { timeLeft } from './progress.js';
import { jobHref } from './router.js';

export function jobRow(job, { onChanged, onError }) {
  const chip = statusChip();
  const bar = progressBar(`Progress of ${job.name}`);
  const about = h('p', { class: 'muted job-about' });
  const pace = h('p', { class: 'muted' });
  const score = h('p', { class: 'score' });
  const scoreKind = h('p', { class: 'muted' });
  const when = h('p', {});
  const whenMore = h('p', { class: 'muted' });
  const cancel = cancelButton({ jobId: job.id, name: job.name, onCancelled: onChanged, onError });

  const element = h(
    'li',
    { class: 'job-row' },
    h('div', { class: 'job-main' }, h('h2', {}, h('a', { href: jobHref(job.id), class: 'stretched' }, job.name)), about),
    h('div', { class: 'job-status' }, chip.element),
    h('div', { class: 'job-progress' }, bar.element, pace),
    h('div', { class: 'job-score' }, score, scoreKind),
    h('div', { class: 'job-when' }, when, whenMore),
    h('div', { class: 'job-actions' }, cancel.element),
  );

  function set(next) {
    chip.set(next);
    bar.set(next);
    cancel.set(next);
    setText(about, [...new Set([next.model, next.spec.dataset.name]), format.architecture(next.network)].filter(Boolean).join(' · '));
    setText(pace, paceOf(next));
    const [value, kind] = scoreOf(next.metrics);
    setText(score, value);
    setText(scoreKind, kind);
    const [line, more] = whenOf(next);
    setText(when, line);
    setText(whenMore, more);
    setAttribute(whenMore, 'title', format.moment(next.finished_at ?? next.created_at));
  }

  set(job);
  return { element, set };
}

function paceOf({ status, progress }) {
  const epochs = `epoch ${progress.epoch}/${progress.epochs}`;
  if (status !== 'running' || progress.samples_per_second === null) return progress.step > 0 ? epochs : '';
  return `${epochs} · ${format.compact(progress.samples_per_second)} samples/s`;
}

/** The test set says more than the training window, but comes only once an epoch. */
function scoreOf(metrics) {
  if (metrics.test_accuracy !== null) return [format.percent(metrics.test_accuracy), 'test accuracy'];
  if (metrics.accuracy !== null) return [format.percent(metrics.accuracy), 'training accuracy'];
  return ['–', 'accuracy'];
}

function whenOf(job) {
  if (job.status === 'queued') {
    const place = job.queue_position === null ? 'Waiting' : `No. ${job.queue_position} in line`;
    return [place, `created ${format.ago(job.created_at)}`];
  }
  if (job.status === 'running') {
    return [timeLeft(job.progress) || 'Starting', `running for ${format.duration(format.elapsed(job))}`];
  }
  if (job.status === 'paused') return ['Paused', `created ${format.ago(job.created_at)}`];
  const took = format.elapsed(job);
  return [took === null ? 'Never started' : `Took ${format.duration(took)}`, format.ago(job.finished_at ?? job.created_at)];
}
