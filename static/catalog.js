// The server's catalog (`GET /v1/catalog`) in words: every field of a spec with what it may be, one row each.

const GROUPS = { spec: 'Spec', gradient_clips: 'Gradient clipping', inits: 'Initial weights' };
const NAMES_SHOWN = 7;

/** `[{title, rows: [{name, aliases, doc, kind, default}]}]`; a row of a layer or the like has neither kind nor default. */
export function catalogGroups(catalog) {
  return Object.entries(catalog).map(([key, entries]) => ({
    title: GROUPS[key] ?? key[0].toUpperCase() + key.slice(1).replaceAll('_', ' '),
    rows: entries.flatMap((entry) => (entry.type ? entryRows(entry) : fieldRows(entry, ''))),
  }));
}

function entryRows({ type, aliases, doc, fields }) {
  return [{ name: type, aliases, doc, kind: null, default: null }, ...fields.flatMap((field) => fieldRows(field, `${type}.`))];
}

function fieldRows({ name, kind, doc, default: standard }, prefix) {
  const row = { name: prefix + name, aliases: [], doc, kind: kindWords(kind), default: standard.json ?? standard };
  const inner = kind.nullable?.object ?? kind.object ?? [];
  return [row, ...inner.flatMap((field) => fieldRows(field, `${row.name}.`))];
}

const WORDS = {
  flag: () => 'true or false',
  count: ({ min, max }) => `whole number from ${number(min)} to ${number(max)}`,
  integer: ({ min, max }) => `whole number from ${number(min)} to ${number(max)}`,
  number: ({ min, max }) => `number ${bound(min, '≥', '>')} and ${bound(max, '≤', '<')}`,
  pair: ({ min, max }) => `whole number from ${number(min)} to ${number(max)}, or two of them for height and width`,
  word: (words) => words.map(number).join(' or '),
  word_or: ({ words, other }) => `${words.map(number).join(' or ')}, or ${kindWords(other)}`,
  text: ({ max_chars, slug }) => `text of up to ${max_chars} characters${slug ? ' of a-z A-Z 0-9 . _ -' : ''}`,
  one_of: (entries) => `one of ${typeNames(entries)}`,
  list_of: ({ of, max_items }) => `list of up to ${max_items}: ${typeNames(of)}`,
  object: () => 'object',
  nullable: (kind) => `null, or ${kindWords(kind)}`,
};

/** A kind is a word, or an object with the one key that names it. */
function kindWords(kind) {
  const [name, limits] = typeof kind === 'string' ? [kind, null] : Object.entries(kind)[0];
  return WORDS[name]?.(limits) ?? name;
}

/** As JSON: the largest seed is more than a double can hold. */
const number = (value) => JSON.stringify(value);

function bound({ included, excluded }, with_, without) {
  return included !== undefined ? `${with_} ${number(included)}` : `${without} ${number(excluded)}`;
}

function typeNames(entries) {
  const names = entries.map(({ type }) => type);
  return names.length > NAMES_SHOWN ? `${names.slice(0, NAMES_SHOWN).join(', ')}, …` : names.join(', ');
}
