// Numbers, times and words for people. Every formatter takes null for "not known yet" and answers with a dash.

const DASH = '–';
const counts = new Intl.NumberFormat('en');
const compacts = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 });
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const clocks = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

const known = (value) => typeof value === 'number' && Number.isFinite(value);

export function percent(fraction, digits = 2) {
  return known(fraction) ? `${(fraction * 100).toFixed(digits)}%` : DASH;
}

/** `97.5%`, `100%`: for the marks of an axis. */
export function roundPercent(fraction) {
  return `${Number((fraction * 100).toFixed(2))}%`;
}

/** Progress never says 100% before it is. */
export function progressPercent(fraction) {
  return known(fraction) ? `${Math.floor(Math.min(1, Math.max(0, fraction)) * 100)}%` : DASH;
}

export function loss(value) {
  if (!known(value)) return DASH;
  if (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 10000)) return Number(value.toPrecision(3)).toExponential();
  return String(Number(value.toPrecision(4)));
}

export function count(value) {
  return known(value) ? counts.format(value) : DASH;
}

export function compact(value) {
  return known(value) ? compacts.format(value).replace('K', 'k') : DASH;
}

export function plural(value, word) {
  return `${count(value)} ${word}${value === 1 ? '' : 's'}`;
}

export function bytes(value) {
  if (!known(value)) return DASH;
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(value) / 3));
  return `${Number((value / 1000 ** power).toPrecision(3))} ${units[power]}`;
}

export function duration(seconds) {
  if (!known(seconds)) return DASH;
  if (seconds < 1) return '< 1 s';
  if (seconds < 10) return `${Number(seconds.toFixed(1))} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** Time left: coarse above ten seconds, for a countdown that changes by tenths only distracts. */
export function timeLeft(seconds) {
  return known(seconds) ? duration(seconds < 1 ? seconds : Math.ceil(seconds)) : DASH;
}

export function ago(iso) {
  if (!iso) return DASH;
  const seconds = (Date.now() - Date.parse(iso)) / 1000;
  if (seconds < 10) return 'just now';
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

export function moment(iso) {
  return iso ? moments.format(new Date(iso)) : DASH;
}

export function clock(iso) {
  return iso ? clocks.format(new Date(iso)) : DASH;
}

/** Seconds the job has trained (or trained in all, once it ended). */
export function elapsed(job) {
  if (!job.started_at) return null;
  const end = job.finished_at ? Date.parse(job.finished_at) : Date.now();
  return Math.max(0, (end - Date.parse(job.started_at)) / 1000);
}

export function shape(dimensions) {
  return Array.isArray(dimensions) ? dimensions.join('×') : DASH;
}

/** `50 → 10`: the sizes of the layers that hold parameters, which is how people tell networks apart. */
export function architecture(network = []) {
  const sizes = network.filter((layer) => layer.parameters > 0).map((layer) => shape(layer.output));
  return sizes.length > 6 ? `${sizes.slice(0, 2).join(' → ')} → … → ${sizes.at(-1)}` : sizes.join(' → ');
}

const STOP_REASONS = {
  completed: 'All epochs done',
  early_stopping: 'Stopped early: no more progress',
  max_seconds: 'Stopped at its time limit',
  diverged: 'Diverged',
  user: 'Stopped by you',
  error: 'Stopped by an error',
  crash_loop: 'Paused by the server',
};

export function stopReason(reason) {
  return reason ? STOP_REASONS[reason] ?? reason : '';
}

/** JSON that keeps small objects on one line, so that a network reads as one layer a line. */
export function prettyJson(value, indent = '') {
  const line = oneLine(value);
  if (typeof value !== 'object' || value === null || JSON.isRawJSON?.(value)) return line;
  const entries = Array.isArray(value)
    ? value.map((item) => ['', item])
    : Object.entries(value).map(([key, item]) => [`${JSON.stringify(key)}: `, item]);
  // The outermost object always opens up; inner ones only when they would not fit.
  if (indent !== '' && line.length + indent.length <= 76 && !hasObjects(value)) return line;
  if (entries.length === 0) return line;
  const deeper = `${indent}  `;
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  const lines = entries.map(([key, item]) => deeper + key + prettyJson(item, deeper));
  return `${open}\n${lines.join(',\n')}\n${indent}${close}`;
}

function hasObjects(value) {
  return Array.isArray(value) && value.some((item) => typeof item === 'object' && item !== null);
}

function oneLine(value) {
  if (typeof value !== 'object' || value === null || JSON.isRawJSON?.(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(oneLine).join(', ')}]`;
  const entries = Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${oneLine(item)}`);
  return `{${entries.join(', ')}}`;
}
