// Where in a JSON text each value is: JSON pointer → [start, end]. `JSON.parse` tells neither that nor, in a way that
// is the same in every browser, where a text stops being JSON.

export class JsonFault extends Error {
  constructor(message, offset) {
    super(message);
    this.offset = offset;
  }
}

const SPACE = /[ \t\n\r]*/y;
const SCALAR = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;

/** Throws `JsonFault` at the first thing that is not JSON. A member's range begins at its key. */
export function locate(text) {
  const ranges = new Map();
  let at = 0;

  function match(pattern) {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (!found) return null;
    at = pattern.lastIndex;
    return found[0];
  }

  function peek() {
    match(SPACE);
    return text[at];
  }

  function expect(character, message) {
    if (peek() !== character) throw new JsonFault(message, at);
    at += 1;
  }

  function value(pointer, start) {
    const first = peek();
    const from = start ?? at;
    if (first === '{') members('}', (open) => member(pointer, open));
    else if (first === '[') members(']', (_, index) => value(`${pointer}/${index}`));
    else if (match(SCALAR) === null) throw new JsonFault(first === undefined ? 'the text ends too early' : 'a value is expected here', at);
    ranges.set(pointer, [from, at]);
  }

  function members(close, each) {
    at += 1;
    if (peek() === close) {
      at += 1;
      return;
    }
    for (let index = 0; ; index += 1) {
      peek();
      each(at, index);
      if (peek() === close) break;
      expect(',', `a comma or ${close} is expected here`);
    }
    at += 1;
  }

  function member(pointer, from) {
    const key = text[at] === '"' ? match(SCALAR) : null;
    if (key === null) throw new JsonFault('a key in double quotes is expected here', at);
    expect(':', 'a colon is expected here');
    const name = JSON.parse(key).replaceAll('~', '~0').replaceAll('/', '~1');
    value(`${pointer}/${name}`, from);
  }

  value('');
  if (peek() !== undefined) throw new JsonFault('nothing is expected after the end', at);
  return ranges;
}

/** The range of a pointer (with or without its `#`), or of the nearest thing around it that exists. */
export function rangeOf(ranges, pointer) {
  let path = pointer.replace(/^#/, '');
  try {
    path = decodeURIComponent(path);
  } catch {
    // A bare percent sign: the pointer was not URI-encoded after all.
  }
  while (path !== '' && !ranges.has(path)) path = path.slice(0, path.lastIndexOf('/'));
  return ranges.get(path) ?? [0, 0];
}

export function lineOf(text, offset) {
  return text.slice(0, offset).split('\n').length;
}
