// The shell commands the dashboard offers for copying.

const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** `spec` as JSON text, not parsed: that would round seeds above 2^53. */
export function curlSubmit(spec) {
  return `curl -s ${location.origin}/v1/jobs \\\n  -H 'content-type: application/json' \\\n  -d ${quote(spec)}`;
}

export function curlPredict(model) {
  const url = `${location.origin}/predict?model=${encodeURIComponent(model).replaceAll('%40', '@').replaceAll('%3A', ':')}`;
  return `curl -s ${quote(url)} \\\n  -H 'content-type: image/png' --data-binary @digit.png`;
}

export function curlFollow(jobId) {
  return `curl -N ${location.origin}/v1/jobs/${jobId}/events`;
}

/** The most exact name of what a job trained: its model version, or the job itself while there is none. */
export function modelRef(job) {
  return job.model_version === null ? `job:${job.id}` : `${job.model}@${job.model_version}`;
}
