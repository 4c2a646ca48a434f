// Is the server there? One answer for the whole page, from every request and stream that fails or succeeds.
// While it is not, /healthz is asked until it answers; then every view is told to load afresh.

const RETRY_MS = 2000;
const listeners = new Set();
let reachable = true;
let probing = false;


/** `listener(reachable)` on every change, until `signal` aborts. */
export function onConnection(listener, signal) {
  listeners.add(listener);
  signal?.addEventListener('abort', () => listeners.delete(listener));
}

export function reportReached() {
  change(true);
}

/** Something failed that may or may not mean a lost server (an SSE stream also ends on purpose): ask. */
export async function suspect() {
  if (probing) return;
  probing = true;
  while (!(await healthy())) {
    change(false);
    await new Promise((done) => setTimeout(done, RETRY_MS));
  }
  probing = false;
  change(true);
}

async function healthy() {
  try {
    const response = await fetch('/healthz', { cache: 'no-store', signal: AbortSignal.timeout(5000) });
    return response.ok;
  } catch {
    return false;
  }
}

function change(now) {
  if (now === reachable) return;
  reachable = now;
  for (const listener of [...listeners]) listener(now);
}
