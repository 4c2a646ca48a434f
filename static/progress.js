// How far a job is, in words. No page needed: tests run it by itself.

import * as format from './format.js';

/** `at most 2 min 5 s left`; nothing where the time is not known. Early stopping may end a job sooner. */
export function timeLeft({ eta_seconds: seconds, eta_at_most: atMost }) {
  if (typeof seconds !== 'number') return '';
  return `${atMost ? 'at most ' : ''}${format.timeLeft(seconds)} left`;
}

/** `12% · Epoch 3 of 20 · step 1,234 of 12,000 · 81.2k samples/s · 9.1 s left`, or what there is to say of another state. */
export function paceOf(job) {
  const { progress } = job;
  const where = `Epoch ${progress.epoch} of ${progress.epochs} · step ${format.count(progress.step)} of ${format.count(progress.total_steps)}`;
  if (job.status === 'queued') {
    const place = job.queue_position === null ? 'Waiting for its turn' : `No. ${job.queue_position} in the queue`;
    const turn = job.queue_eta_seconds > 0 && `its turn in ${format.timeLeft(job.queue_eta_seconds)}`;
    return [place, turn, waiting(job)].filter(Boolean).join(' · ');
  }
  if (job.status === 'paused') return [format.progressPercent(progress.fraction), where].join(' · ');
  if (job.status === 'running') {
    const speed = progress.samples_per_second === null ? null : `${format.compact(progress.samples_per_second)} samples/s`;
    const percent = format.progressPercent(progress.fraction);
    return [percent, where, speed, timeLeft(progress), (job.cancel_requested || job.pause_requested) && 'stopping…', waiting(job)].filter(Boolean).join(' · ');
  }
  const took = format.elapsed(job);
  return [where, took !== null && `took ${format.duration(took)}`, job.status !== 'failed' && format.stopReason(job.stop_reason)].filter(Boolean).join(' · ');
}

const WAITING = {
  storage: 'waits: the server’s storage cannot be written',
  crash_backoff: 'waits a while: the server died at its last starts',
};

/** Names what the job cannot go on without. */
function waiting(job) {
  return WAITING[job.waiting_for];
}

/** Lays the fields of a `metrics` or `epoch` event over a job, unless the job is already past it. */
export function applyEvent(job, event) {
  if (event.type === 'metrics') {
    if (event.step < job.progress.step) return job;
    const { step, epoch, fraction, samples_per_second, eta_seconds, eta_at_most, loss, accuracy } = event;
    const progress = { ...job.progress, step, epoch, fraction, samples_per_second, eta_seconds, eta_at_most };
    return { ...job, progress, metrics: { ...job.metrics, loss, accuracy } };
  }
  // An evaluation may be told after the mini-batches that followed it.
  if (event.step < (job.evaluatedStep ?? 0)) return job;
  const { train_loss, train_accuracy, validation_loss, validation_accuracy, test_loss, test_accuracy } = event;
  const measured = { train_loss, train_accuracy, validation_loss, validation_accuracy, test_loss, test_accuracy };
  return { ...job, evaluatedStep: event.step, metrics: { ...job.metrics, ...measured } };
}
