// Every request the dashboard makes, one function each. A refusal is thrown as `Problem` (RFC 9457),
// a server that does not answer as `Unreachable`; an aborted request keeps its AbortError.

import { reportReached, suspect } from './connection.js';

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `the server answered ${status}`);
    this.status = status;
    this.title = body.title ?? '';
    this.errors = Array.isArray(body.errors) ? body.errors : [];
  }
}

class Unreachable extends Error {
  constructor() {
    super('the server cannot be reached');
  }
}

const id = encodeURIComponent;

export const jobs = (query, signal) => get(`/v1/jobs?${new URLSearchParams(query)}`, signal);
export const job = (jobId, signal) => get(`/v1/jobs/${id(jobId)}`, signal);
export const metrics = (jobId, signal) => get(`/v1/jobs/${id(jobId)}/metrics`, signal);
/** What was seen inside the network after epoch `after`, the newest 20 epochs of it, and the final evaluation. */
export const diagnostics = (jobId, after, signal) => get(`/v1/jobs/${id(jobId)}/diagnostics?after=${after}&limit=20`, signal);
export const models = (signal) => all('/v1/models', signal);
export const datasets = (signal) => all('/v1/datasets', signal);
export const recipes = (signal) => all('/v1/recipes', signal);
export const catalog = (signal) => get('/v1/catalog', signal);
export const version = (signal) => get('/version', signal);
export const cancel = (jobId) => send(`/v1/jobs/${id(jobId)}/cancel`);
export const pause = (jobId) => send(`/v1/jobs/${id(jobId)}/pause`);
export const resume = (jobId) => send(`/v1/jobs/${id(jobId)}/resume`);
export const remove = (jobId) => request(`/v1/jobs/${id(jobId)}`, { method: 'DELETE' });

/** `text` goes out as typed: parsing it here would round seeds above 2^53. */
export const submit = (text) => send('/v1/jobs', text, 'application/json');

/** `query`: `split`, `offset`, `limit` up to 100. */
export function samples(dataset, query, signal) {
  return get(`/v1/datasets/${id(dataset)}/samples?${new URLSearchParams(query)}`, signal);
}

export const sample = (dataset, split, offset, signal) => samples(dataset, { split, offset, limit: 1 }, signal);

/** `more`: further parameters, such as `return_input`. */
export function predict(model, body, type, signal, more = {}) {
  return send(`/predict?${new URLSearchParams({ model, ...more })}`, body, type, signal);
}

export const weightsUrl = (jobId) => `/v1/jobs/${id(jobId)}/weights`;
export const eventsUrl = (jobId, after) => `/v1/jobs/${id(jobId)}/events?after=${after}`;
export const ALL_EVENTS_URL = '/v1/events';

/** A whole list, read page by page. */
async function all(path, signal) {
  const data = [];
  const query = new URLSearchParams({ limit: 200 });
  for (;;) {
    const page = await get(`${path}?${query}`, signal);
    data.push(...page.data);
    if (!page.has_more) return { data };
    query.set('after', page.last_id);
  }
}

function get(path, signal) {
  return request(path, { signal });
}

function send(path, body, type, signal) {
  return request(path, { method: 'POST', body, signal, headers: type ? { 'content-type': type } : {} });
}

async function request(path, options) {
  const headers = { accept: 'application/json', ...options.headers };
  let response;
  let text;
  try {
    response = await fetch(path, { ...options, headers, cache: 'no-store' });
    text = await response.text();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    suspect();
    throw new Unreachable();
  }
  reportReached();
  if (!response.ok) throw new Problem(response.status, parse(text) ?? {});
  return parse(text);
}

function parse(text) {
  try {
    return JSON.parse(text, keepBigIntegers);
  } catch {
    return null;
  }
}

const LARGE_INTEGER = /^-?\d{16,}$/;

/**
 * Seeds are u64. Where the browser lets us, keep the digits that a double would lose. A loss of 1e30 is no such number,
 * although it is whole.
 */
function keepBigIntegers(_key, value, context) {
  const exact = typeof value !== 'number' || Number.isSafeInteger(value) || !LARGE_INTEGER.test(context?.source);
  return exact || !JSON.rawJSON ? value : JSON.rawJSON(context.source);
}
