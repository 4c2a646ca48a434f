// The job list. Pages come from `GET /v1/jobs`, life from the stream over all jobs.
//
// The stream is live only, so whatever could have been missed (opening, reconnecting, an unknown job, a status that
// moved other jobs up the queue) leads to a fresh load of the first page. Numbers are patched in from the events.

import * as api from './api.js';
import { onConnection } from './connection.js';
import { codeBlock } from './copy.js';
import { h, setText, throttle } from './dom.js';
import { prettyJson, progressPercent } from './format.js';
import { jobRow } from './job-row.js';
import { openNewJob } from './new-job.js';
import { isEnded, notice } from './parts.js';
import { applyEvent } from './progress.js';
import { presets } from './presets.js';
import { curlSubmit } from './snippets.js';
import { follow } from './stream.js';

const PAGE = 50;
const RELOAD_MS = 1000;
const CLOCK_MS = 10000;

export function jobsView(root, { signal }) {
  document.title = 'Jobs · dojang';
  const jobs = new Map();
  const rows = new Map();
  let oldest = null;
  let loaded = false;

  const problem = notice();
  const summary = h('p', { class: 'muted' });
  const list = h('ul', { class: 'jobs' });
  const empty = emptyState();
  const more = h('button', { type: 'button', class: 'button', hidden: true, onclick: loadMore }, 'Load more');
  const skeleton = h('p', { class: 'muted loading', role: 'status' }, 'Loading jobs…');
  root.append(
    h('div', { class: 'page-head' }, h('h1', {}, 'Jobs'), summary),
    problem.element,
    skeleton,
    empty,
    list,
    h('div', { class: 'more' }, more),
  );

  function put(job) {
    jobs.set(job.id, job);
    const row = rows.get(job.id);
    if (row) row.set(job);
    else rows.set(job.id, jobRow(job, { onChanged: (changed) => { put(changed); arrange(); }, onError: showError }));
  }

  /** Newest first, after those that train now: in a long queue these are the oldest and would be pages away. */
  function arrange() {
    const order = [...jobs.values()].sort(
      (a, b) => (b.status === 'running') - (a.status === 'running') || (a.id < b.id ? 1 : -1),
    );
    order.forEach((job, index) => {
      const { element } = rows.get(job.id);
      if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
    });
    const running = order.filter((job) => job.status === 'running');
    const queued = order.filter((job) => job.status === 'queued').length;
    setText(summary, [running.length && `${running.length} running`, queued && `${queued} queued`].filter(Boolean).join(' · '));
    empty.hidden = !loaded || order.length > 0;
    const done = running.length === 1 ? `${progressPercent(running[0].progress.fraction)} · ` : '';
    document.title = `${done}Jobs · dojang`;
  }

  async function load() {
    try {
      const [page, running] = await Promise.all([
        api.jobs({ limit: PAGE }, signal),
        api.jobs({ status: 'running', limit: PAGE }, signal),
      ]);
      drop(page);
      [...page.data, ...running.data].forEach(put);
      if (!loaded) {
        oldest = page.last_id;
        more.hidden = !page.has_more;
      }
      loaded = true;
      skeleton.hidden = true;
      problem.clear();
      arrange();
    } catch (error) {
      showError(error);
    }
  }

  /** Forgets deleted jobs: those that lie in the span of the fresh page and are no longer on it. */
  function drop(page) {
    const present = new Set(page.data.map((job) => job.id));
    for (const id of jobs.keys()) {
      if (present.has(id) || (page.has_more && id < page.last_id)) continue;
      rows.get(id).element.remove();
      rows.delete(id);
      jobs.delete(id);
    }
  }

  async function loadMore() {
    more.disabled = true;
    try {
      const page = await api.jobs({ limit: PAGE, after: oldest }, signal);
      page.data.forEach(put);
      oldest = page.last_id ?? oldest;
      more.hidden = !page.has_more;
      arrange();
    } catch (error) {
      showError(error);
    }
    more.disabled = false;
  }

  function showError(error) {
    if (error.name === 'AbortError') return;
    skeleton.hidden = true;
    problem.show(`That did not work: ${error.message}.`);
  }

  const reload = throttle(load, RELOAD_MS, signal);

  function onEvent(event) {
    const job = jobs.get(event.job);
    if (!job || event.type === 'state' || event.type === 'done') return reload();
    if (isEnded(job)) return;
    put(applyEvent(job, event));
    arrange();
  }

  const clock = setInterval(() => jobs.forEach(put), CLOCK_MS);
  signal.addEventListener('abort', () => clearInterval(clock));
  onConnection((reachable) => reachable && reload(), signal);
  reload();
  follow({
    url: () => api.ALL_EVENTS_URL,
    types: ['state', 'metrics', 'epoch', 'done'],
    onEvent,
    onOpen: reload,
    whileHidden: reload,
    signal,
  });
}

function emptyState() {
  const command = codeBlock(curlSubmit(prettyJson(presets[0].spec)), 'Command that starts a first job');
  return h(
    'section',
    { class: 'empty', hidden: true },
    h('h2', {}, 'No jobs yet'),
    h('p', {}, 'A job trains one network. Send its spec with curl, and watch it appear here:'),
    command.element,
    h('p', {}, 'or ', h('button', { type: 'button', class: 'button primary', onclick: () => openNewJob() }, 'Start one here')),
  );
}
