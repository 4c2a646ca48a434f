// Hash routes: `#/jobs/ID?x=y`. A view is `(root, {params, query, signal})`; `signal` aborts when it is left.

let current = null;

/** `routes`: [{pattern: /^…$/, name, view}]; the first match wins, the last entry should match all. */
export function startRouter(root, routes, onRoute) {
  const go = () => {
    const [path, search = ''] = (location.hash.slice(1) || '/').split('?');
    const route = routes.find((candidate) => candidate.pattern.test(path));
    const params = (path.match(route.pattern) ?? []).slice(1).map(decode);
    const first = current === null;
    current?.abort();
    current = new AbortController();
    root.replaceChildren();
    onRoute(route);
    route.view(root, { params, query: new URLSearchParams(search), signal: current.signal });
    // Screen readers and the Tab key go on from the new content, but not at the very first load.
    if (!first) {
      root.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  };
  addEventListener('hashchange', go);
  go();
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const jobHref = (jobId) => `#/jobs/${encodeURIComponent(jobId)}`;
export const tryHref = (model) => `#/try?${new URLSearchParams({ model })}`;
