// The still parts of a job's page: the network, the spec, and what to do with the weights.

import { weightsUrl } from './api.js';
import { codeBlock, copyButton } from './copy.js';
import { h } from './dom.js';
import * as format from './format.js';
import { curlFollow, curlPredict, curlSubmit, modelRef } from './snippets.js';

export function networkPanel(job) {
  const row = (index, type, output, parameters) =>
    h('tr', {}, h('td', { class: 'number' }, index), h('th', { scope: 'row' }, type), h('td', {}, output), h('td', { class: 'number' }, parameters));
  const layers = job.network.map((layer, index) =>
    row(index, layer.type, format.shape(layer.output), layer.parameters > 0 ? format.count(layer.parameters) : '–'),
  );
  const header = ['#', 'Layer', 'Output', 'Parameters'].map((name, index) => h('th', { scope: 'col', class: index % 3 === 0 ? 'number' : null }, name));
  return h(
    'section',
    { class: 'panel' },
    h('div', { class: 'panel-head' }, h('h2', {}, 'Network')),
    h(
      'div',
      { class: 'scroll' },
      h(
        'table',
        {},
        h('thead', {}, h('tr', {}, header)),
        h('tbody', {}, layers),
        h('tfoot', {}, row('', 'In all', '', format.count(job.parameters))),
      ),
    ),
    h(
      'p',
      { class: 'muted' },
      `${samplesOf(job)} samples · up to ${format.bytes(job.peak_memory_bytes)} of memory`,
    ),
  );
}

function samplesOf({ train_samples, validation_samples, test_samples }) {
  const heldOut = validation_samples > 0 ? `, ${format.count(validation_samples)} validation` : '';
  return `${format.count(train_samples)} training${heldOut} and ${format.count(test_samples)} test`;
}

export function specPanel(job, onReuse) {
  return h(
    'section',
    { class: 'panel' },
    h(
      'div',
      { class: 'panel-head' },
      h('h2', {}, 'Spec'),
      h('button', { type: 'button', class: 'button small', onclick: onReuse }, 'New job from this'),
    ),
    codeBlock(format.prettyJson(job.spec), 'Spec of this job').element,
  );
}

/** Redrawn whenever the job gets a checkpoint, a version or a hash. */
export function usePanel() {
  const body = h('div', { class: 'use' });
  const element = h('section', { class: 'panel' }, h('div', { class: 'panel-head' }, h('h2', {}, 'Use it')), body);
  let drawn = '';

  return {
    element,
    set(job) {
      const state = `${job.weights_sha256} ${job.model_version} ${job.status}`;
      if (state === drawn) return;
      drawn = state;
      body.replaceChildren(
        ...[weights(job), ...commands(job)].filter(Boolean),
      );
    },
  };
}

function weights(job) {
  if (!job.weights_sha256) {
    const live = ['running', 'queued', 'paused'].includes(job.status);
    return h('p', { class: 'muted' }, live ? 'The weights can be downloaded here once training has ended.' : 'This job left no weights.');
  }
  const file = `${job.model}-${job.weights_sha256.slice(0, 8)}.safetensors`;
  return h(
    'div',
    { class: 'weights' },
    h('a', { class: 'button', href: weightsUrl(job.id), download: file }, 'Download weights'),
    h('p', { class: 'hash' }, h('span', { class: 'muted' }, 'sha256 '), h('code', {}, job.weights_sha256), copyButton(() => job.weights_sha256, 'Copy hash')),
  );
}

function commands(job) {
  const reproduce = h(
    'details',
    {},
    h('summary', {}, 'Reproduce it: the same spec and seed give the same weights'),
    codeBlock(curlSubmit(format.prettyJson(job.spec)), 'Command that trains the same network again').element,
  );
  if (job.status === 'failed' || job.status === 'cancelled') return [reproduce];
  const following = job.status === 'succeeded' ? null : command('Follow it from a shell', curlFollow(job.id));
  return [command('Classify a picture', curlPredict(modelRef(job))), following, reproduce];
}

function command(title, text) {
  return h('div', {}, h('h3', {}, title), codeBlock(text, title).element);
}
