// One job, live. The history comes from `GET …/metrics`, the rest from the job's event stream, which is replayed
// from its start for the log. A replayed event never turns the page back in time: numbers are taken only if they are
// ahead of what is shown, and every change of state is read afresh from `GET …/{id}`.

import * as api from './api.js';
import { onConnection } from './connection.js';
import { decisionMap } from './decision-map.js';
import { h, setText, throttle } from './dom.js';
import * as format from './format.js';
import { History } from './history.js';
import { insidePanel } from './inside.js';
import { jobCharts } from './job-charts.js';
import { jobLog } from './job-log.js';
import { networkPanel, specPanel, usePanel } from './job-panels.js';
import { openNewJob } from './new-job.js';
import { cancelButton, deleteButton, isEnded, notice, pauseButton, progressBar, statusChip } from './parts.js';
import { applyEvent, paceOf } from './progress.js';
import { resultPanel } from './result.js';
import { isPicture } from './pixels.js';
import { tryHref } from './router.js';
import { modelRef } from './snippets.js';
import { follow } from './stream.js';

const REFRESH_MS = 300;
const LOOK_MS = 2000;
const CLOCK_MS = 1000;
const TYPES = ['state', 'metrics', 'epoch', 'checkpoint', 'alert', 'done'];

export async function jobView(root, { params: [jobId], signal }) {
  document.title = 'Job · dojang';
  const problem = notice();
  const loading = h('p', { class: 'muted loading', role: 'status' }, 'Loading the job…');
  root.append(h('p', { class: 'back' }, h('a', { href: '#/' }, '← Jobs')), problem.element, loading);
  let page = null;

  async function load() {
    try {
      const [job, metrics] = await Promise.all([api.job(jobId, signal), api.metrics(jobId, signal)]);
      loading.remove();
      problem.clear();
      page ??= jobPage(root, job, { problem, signal });
      page.setJob(job);
      page.addHistory(metrics);
    } catch (error) {
      if (error.name === 'AbortError') return;
      loading.remove();
      const missing = error instanceof api.Problem && error.status === 404;
      problem.show(missing ? 'There is no such job. It may have been deleted.' : `The job cannot be shown: ${error.message}.`);
    }
  }

  onConnection((reachable) => reachable && load(), signal);
  await load();
}

function jobPage(root, first, { problem, signal }) {
  let job = first;
  let lastEvent = 0;
  let stop = null;
  const history = new History();

  const chip = statusChip();
  const bar = progressBar('Training progress');
  const pace = h('p', { class: 'pace' });
  const reason = h('p', { class: 'notice', hidden: true });
  const log = jobLog();
  const use = usePanel();
  const tiles = metricTiles();
  const tryLink = h('a', { class: 'button' }, 'Try it');
  // Rows of numbers cannot be drawn.
  let drawable = true;
  const showError = (error) => problem.show(`That did not work: ${error.message}.`);
  const cancel = cancelButton({ jobId: job.id, name: job.name, onCancelled: setJob, onError: showError });
  const pause = pauseButton({ jobId: job.id, name: job.name, onChanged: setJob, onError: showError });
  const onDeleted = () => { location.hash = '#/'; };
  const remove = deleteButton({ jobId: job.id, name: job.name, onDeleted, onError: showError });
  const charts = jobCharts();
  const inside = insidePanel();
  const dataset = findDataset(job.spec.dataset.name, signal);
  dataset.then((entry) => {
    drawable = isPicture(entry);
    draw();
  });
  const result = resultPanel({ dataset, signal });
  const map = decisionMap({ job, dataset, signal });

  root.append(
    h(
      'div',
      { class: 'page-head' },
      h('div', { class: 'job-title' }, h('h1', {}, job.name), chip.element),
      h('div', { class: 'actions' }, tryLink, pause.element, cancel.element, remove.element),
    ),
    h('p', { class: 'muted job-about' }, `model ${job.model} · ${job.spec.dataset.name} · created ${format.moment(job.created_at)}`),
    reason,
    h('section', { class: 'panel progress', 'aria-label': 'Progress' }, bar.element, pace, tiles.element),
    ...charts.elements,
    map.element,
    result.element,
    inside.element,
    h('div', { class: 'columns' }, networkPanel(job), use.element),
    h('div', { class: 'columns' }, specPanel(job, () => openNewJob(job.spec)), log.element),
  );

  function setJob(next) {
    job = next;
    draw();
    // Resumed after its end: the stream goes on where it ended.
    if (!isEnded(job)) stop ??= listen();
  }

  function draw() {
    chip.set(job);
    bar.set(job);
    cancel.set(job);
    pause.set(job);
    remove.set(job);
    use.set(job);
    tiles.set(job.metrics);
    setText(pace, paceOf(job));
    tryLink.href = tryHref(modelRef(job));
    const silent = job.status === 'failed' || job.status === 'queued' || (job.status === 'cancelled' && !job.weights_sha256);
    tryLink.hidden = silent || !drawable;
    const trouble = job.status === 'failed' || job.error !== null;
    reason.hidden = !trouble;
    setText(reason, trouble ? [format.stopReason(job.stop_reason), job.error].filter(Boolean).join(': ') || 'Failed' : '');
    document.title = `${titleOf(job)} · ${job.name} · dojang`;
  }

  const refresh = throttle(() => {
    api.job(job.id, signal).then(setJob, (error) => error.name !== 'AbortError' && showError(error));
  }, REFRESH_MS, signal);

  const look = throttle(() => {
    api.diagnostics(job.id, inside.known(), signal).then(showInside, (error) => error.name !== 'AbortError' && showError(error));
  }, LOOK_MS, signal);

  /** Events come at a bounded rate; the history has more points. */
  const reload = throttle(() => {
    api.metrics(job.id, signal).then(setHistory, (error) => error.name !== 'AbortError' && showError(error));
  }, REFRESH_MS, signal);

  function setHistory(metrics) {
    history.replace(metrics);
    charts.set(history);
    look();
  }

  function showInside({ epochs, evaluation }) {
    inside.add(epochs);
    result.set(evaluation);
  }

  function onEvent(event) {
    if (event.id <= lastEvent) return;
    lastEvent = event.id;
    log.add(event);
    if (event.type === 'state') refresh();
    if (event.type === 'done') {
      stop?.();
      stop = null;
      refresh();
      reload();
      map.refresh();
    }
    if (event.type === 'checkpoint') map.refresh();
    if (event.type !== 'metrics' && event.type !== 'epoch') return;
    const fresh = event.type === 'metrics' ? history.addStep(event) : history.addEpoch(event);
    if (fresh && !isEnded(job)) setJob(applyEvent(job, event));
    if (fresh) charts.set(history);
    if (fresh && (event.type === 'epoch' || event.epoch === 1)) look();
  }

  const clock = setInterval(() => setText(pace, paceOf(job)), CLOCK_MS);
  signal.addEventListener('abort', () => clearInterval(clock));
  function listen() {
    return follow({ url: () => api.eventsUrl(job.id, lastEvent), types: TYPES, onEvent, whileHidden: refresh, signal });
  }
  stop = listen();

  return {
    setJob,
    addHistory(metrics) {
      setHistory(metrics);
      map.refresh();
    },
  };
}

/** Its entry in the list of datasets; undefined if it is gone or cannot be asked for: the page goes without. */
async function findDataset(name, signal) {
  const answer = await api.datasets(signal).catch(() => null);
  return answer?.data.find((one) => one.name === name);
}

function metricTiles() {
  const tiles = [
    ['Test accuracy', (metrics) => format.percent(metrics.test_accuracy)],
    ['Test loss', (metrics) => format.loss(metrics.test_loss)],
    ['Validation accuracy', (metrics) => format.percent(metrics.validation_accuracy), isHeldOut],
    ['Validation loss', (metrics) => format.loss(metrics.validation_loss), isHeldOut],
    ['Training accuracy', (metrics) => format.percent(metrics.train_accuracy ?? metrics.accuracy)],
    ['Training loss', (metrics) => format.loss(metrics.train_loss ?? metrics.loss)],
  ].map(([name, value, isThere = () => true]) => {
    const shown = h('dd', {});
    return { value, isThere, shown, element: h('div', {}, h('dt', {}, name), shown) };
  });
  return {
    element: h('dl', { class: 'tiles' }, tiles.map((tile) => tile.element)),
    set(metrics) {
      for (const { value, isThere, shown, element } of tiles) {
        setText(shown, value(metrics));
        element.hidden = !isThere(metrics);
      }
    },
  };
}

function isHeldOut({ validation_loss, validation_accuracy }) {
  return typeof (validation_accuracy ?? validation_loss) === 'number';
}

function titleOf(job) {
  if (job.status === 'running') return format.progressPercent(job.progress.fraction);
  if (job.status === 'succeeded') return `✓ ${format.percent(job.metrics.test_accuracy)}`;
  return job.status;
}
