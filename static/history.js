// What a run has reported so far, by step. Fed from the metrics history and from events alike, in any overlap: a resumed run
// trains steps again that were already reported, and a replay of events repeats the history.

const STEP_FIELDS = ['loss', 'accuracy', 'learning_rate'];
const EPOCH_FIELDS = ['train_loss', 'train_accuracy', 'validation_loss', 'validation_accuracy', 'test_loss', 'test_accuracy'];

export class History {
  constructor() {
    this.clear();
  }

  clear() {
    this.steps = columns(STEP_FIELDS);
    this.epochs = columns(EPOCH_FIELDS);
    /** Mini-batches and epochs of which only the first, the last, the least and the largest points are there; 1 for all. */
    this.resolution = { steps: 1, epochs: 1 };
  }

  addStep(point) {
    return add(this.steps, STEP_FIELDS, point);
  }

  addEpoch(point) {
    return add(this.epochs, EPOCH_FIELDS, point);
  }

  /** Takes the history as the server has it now, and keeps what events have told since. */
  replace({ steps, epochs, resolution }) {
    const [laterSteps, laterEpochs] = [after(this.steps, steps.at(-1)?.step), after(this.epochs, epochs.at(-1)?.step)];
    this.clear();
    this.resolution = resolution ?? this.resolution;
    for (const point of [...steps, ...laterSteps]) this.addStep(point);
    for (const point of [...epochs, ...laterEpochs]) this.addEpoch(point);
  }
}

function columns(fields) {
  return Object.fromEntries(['step', ...fields].map((field) => [field, []]));
}

/** The points after a step, all of them where there is none. */
function after(table, step = -1) {
  const fields = Object.keys(table);
  const first = table.step.findIndex((one) => one > step);
  if (first < 0) return [];
  return table.step.slice(first).map((_, i) => Object.fromEntries(fields.map((field) => [field, table[field][first + i]])));
}

/** Says whether the point was new. */
function add(table, fields, point) {
  if (point.step <= (table.step.at(-1) ?? -1)) return false;
  table.step.push(point.step);
  for (const field of fields) table[field].push(point[field] ?? null);
  return true;
}
