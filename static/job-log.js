// The events of a job as a log, newest first. Metrics are left out: they are what the charts are for.

import { h } from './dom.js';
import * as format from './format.js';

const KEPT = 300;

export function jobLog() {
  const list = h('ol', { class: 'log', tabindex: '0', 'aria-label': 'Events, newest first' });
  const element = h('section', { class: 'panel' }, h('div', { class: 'panel-head' }, h('h2', {}, 'Events')), list);

  return {
    element,
    add(event) {
      const words = describe(event);
      if (!words) return;
      list.prepend(
        h(
          'li',
          { 'data-type': event.type },
          h('time', { datetime: event.at, title: format.moment(event.at) }, format.clock(event.at)),
          h('span', { class: 'log-type' }, event.type),
          h('span', {}, words),
        ),
      );
      if (list.children.length > KEPT) list.lastElementChild.remove();
    },
  };
}

function describe(event) {
  switch (event.type) {
    case 'state': {
      const attempt = event.attempt > 1 ? `attempt ${event.attempt}` : '';
      return [event.status, attempt, format.stopReason(event.stop_reason), event.detail].filter(Boolean).join(' · ');
    }
    case 'epoch':
      return [
        `epoch ${event.epoch}`,
        `train ${format.percent(event.train_accuracy)}`,
        typeof event.validation_accuracy === 'number' && `validation ${format.percent(event.validation_accuracy)}`,
        event.test_accuracy !== null && `test ${format.percent(event.test_accuracy)}`,
        format.duration(event.seconds),
      ]
        .filter(Boolean)
        .join(' · ');
    case 'checkpoint':
      return `saved at step ${format.count(event.step)} · ${format.bytes(event.bytes)}`;
    case 'alert':
      return [event.code, event.detail].filter(Boolean).join(': ');
    case 'done': {
      const version = event.model_version ? `${event.model}@${event.model_version}` : '';
      return [event.status, format.stopReason(event.stop_reason), version, event.error].filter(Boolean).join(' · ');
    }
    default:
      return null;
  }
}
