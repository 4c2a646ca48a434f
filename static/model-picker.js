// The choice of a model: every version of every model, and the jobs that train right now.

import * as api from './api.js';
import { h } from './dom.js';
import { percent, progressPercent } from './format.js';
import { isPicture } from './pixels.js';

export function modelPicker({ wanted, onPick }) {
  const select = h('select', { 'aria-label': 'Model' });
  const element = h('label', { class: 'picker' }, h('span', { class: 'muted' }, 'Model'), select);
  let datasets = new Map();

  function option(value, text, dataset) {
    datasets.set(value, dataset);
    return h('option', { value }, text);
  }

  /** Reads the choices anew, keeps the chosen one, and says whether there is any. */
  async function load(signal) {
    const [models, running, known] = await Promise.all([
      api.models(signal),
      api.jobs({ status: 'running', limit: 50 }, signal),
      api.datasets(signal).catch(() => ({ data: [] })),
    ]);
    const drawable = (name) => isPicture(known.data.find((dataset) => dataset.name === name));
    datasets = new Map();
    const keep = select.value || wanted;
    // The list is by name; who comes here mostly wants what was made last.
    const newestFirst = models.data.sort((a, b) => b.versions[0].created_at.localeCompare(a.versions[0].created_at));
    const groups = newestFirst.map((model) => {
      const versions = model.versions.filter((one) => drawable(one.dataset)).sort((a, b) => b.version - a.version);
      return h('optgroup', { label: model.name }, versions.map((one) => option(`${model.name}@${one.version}`, describe(model, one), one.dataset)));
    });
    const live = running.data.filter((job) => drawable(job.spec.dataset.name)).map((job) =>
      option(`job:${job.id}`, `${job.name} · ${progressPercent(job.progress.fraction)} trained`, job.spec.dataset.name),
    );
    select.replaceChildren(...groups.filter((group) => group.children.length > 0), ...(live.length > 0 ? [h('optgroup', { label: 'Still training' }, live)] : []));
    // A deep link may name what no list holds: an alias, or a job that has ended.
    if (keep && !datasets.has(keep)) select.prepend(option(keep, keep, null));
    if (keep) select.value = keep;
    return select.options.length > 0;
  }

  select.addEventListener('change', () => {
    history.replaceState(null, '', `#/try?${new URLSearchParams({ model: select.value })}`);
    onPick();
  });

  return { element, load, value: () => select.value, dataset: () => datasets.get(select.value) };
}

function describe(model, version) {
  const newest = version.version === model.latest_version ? ' (newest)' : '';
  const accuracy = version.test_accuracy === null ? '' : ` · ${percent(version.test_accuracy)}`;
  return `${model.name}@${version.version}${newest}${accuracy}`;
}
