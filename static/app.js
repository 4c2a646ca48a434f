// The page: routes, the "server unreachable" banner, and the frame around the views.

import * as api from './api.js';
import { onConnection } from './connection.js';
import { h } from './dom.js';
import { plural } from './format.js';
import { jobView } from './job.js';
import { jobsView } from './jobs.js';
import { openNewJob } from './new-job.js';
import { startRouter } from './router.js';
import { tryView } from './try.js';

function notFoundView(root) {
  document.title = 'Not found · dojang';
  root.append(
    h('div', { class: 'empty' }, h('h1', {}, 'Nothing here'), h('p', {}, h('a', { href: '#/' }, 'Back to the jobs'))),
  );
}

const routes = [
  { pattern: /^\/(?:jobs)?$/, name: 'jobs', view: jobsView },
  { pattern: /^\/jobs\/([^/]+)$/, name: 'jobs', view: jobView },
  { pattern: /^\/try$/, name: 'try', view: tryView },
  { pattern: /.*/, name: '', view: notFoundView },
];

const main = document.getElementById('main');
const banner = document.getElementById('banner');

function markCurrent(route) {
  for (const link of document.querySelectorAll('[data-nav]')) {
    if (link.dataset.nav === route.name) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
}

async function showVersion() {
  const about = await api.version().catch(() => null);
  if (!about) return;
  const parts = [`${about.name} ${about.version}`, about.threads && plural(about.threads, 'thread'), about.cpu];
  document.getElementById('version').textContent = parts.filter(Boolean).join(' · ');
}

onConnection((reachable) => {
  banner.hidden = reachable;
  banner.textContent = reachable ? '' : 'The server cannot be reached. Trying again; this page goes on by itself.';
  if (reachable) showVersion();
});

document.getElementById('new-job').addEventListener('click', () => openNewJob());
document.getElementById('skip').addEventListener('click', () => main.focus());
startRouter(main, routes, markCurrent);
showVersion();
