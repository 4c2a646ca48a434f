// Following a server-sent event stream for as long as a view lives.
//
// The browser itself comes back after a lost connection, with `Last-Event-ID`. Two things it does not do:
// it gives up for good when a reconnect is answered with an error, and it holds its connection in hidden tabs,
// of which HTTP/1.1 allows six per server in all; the seventh tab would hang. So a hidden tab lets go.

import { suspect } from './connection.js';

const RETRY_MS = 2000;
const HIDDEN_GRACE_MS = 10000;
const HIDDEN_POLL_MS = 5000;

/**
 * `url()` is asked anew at every own reconnect, so that it can say where to go on.
 * `onOpen` runs at each (re)connect, `whileHidden` every few seconds in a hidden tab.
 * Returns a function that ends it.
 */
export function follow({ url, types, onEvent, onOpen = () => {}, whileHidden, signal }) {
  let source = null;
  let retry = null;
  let grace = null;
  let poll = null;

  function open() {
    clearTimeout(retry);
    if (source || signal.aborted) return;
    source = new EventSource(url());
    source.onopen = onOpen;
    source.onerror = () => {
      suspect();
      if (source?.readyState !== EventSource.CLOSED) return;
      close();
      retry = setTimeout(open, RETRY_MS);
    };
    for (const type of types) {
      source.addEventListener(type, (message) => onEvent(JSON.parse(message.data)));
    }
  }

  function close() {
    source?.close();
    source = null;
  }

  function onVisibility() {
    clearTimeout(grace);
    clearInterval(poll);
    if (!document.hidden) return open();
    grace = setTimeout(() => {
      clearTimeout(retry);
      close();
      poll = setInterval(whileHidden, HIDDEN_POLL_MS);
    }, HIDDEN_GRACE_MS);
  }

  function end() {
    clearTimeout(retry);
    clearTimeout(grace);
    clearInterval(poll);
    document.removeEventListener('visibilitychange', onVisibility);
    close();
  }

  document.addEventListener('visibilitychange', onVisibility);
  signal.addEventListener('abort', end);
  open();
  return end;
}
