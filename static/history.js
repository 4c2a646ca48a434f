// What a run has reported so far, by step. Fed from the metrics history and from events alike, in any overlap:
// a resumed run reports steps again that were already seen (with the same values), and a replay repeats the history.

const STEP_FIELDS = ['loss', 'accuracy', 'learning_rate'];
const EPOCH_FIELDS = ['train_loss', 'train_accuracy', 'validation_loss', 'validation_accuracy', 'test_loss', 'test_accuracy'];

export class History {
  constructor() {
    this.steps = columns(STEP_FIELDS);
    this.epochs = columns(EPOCH_FIELDS);
  }

  addStep(point) {
    return add(this.steps, STEP_FIELDS, point);
  }

  addEpoch(point) {
    return add(this.epochs, EPOCH_FIELDS, point);
  }

  addAll({ steps, epochs }) {
    for (const point of steps) this.addStep(point);
    for (const point of epochs) this.addEpoch(point);
  }
}

function columns(fields) {
  return Object.fromEntries(['step', ...fields].map((field) => [field, []]));
}

/** Says whether the point was new. */
function add(table, fields, point) {
  if (point.step <= (table.step.at(-1) ?? -1)) return false;
  table.step.push(point.step);
  for (const field of fields) table[field].push(point[field] ?? null);
  return true;
}
