-- Jobs that clients pause, resume, fork and reproduce; a queue by priority; keys that make a POST safe to send again.

alter table jobs add column pause_requested integer not null default 0 check (pause_requested in (0, 1));

-- As in the spec, for the order of the queue.
alter table jobs add column priority integer not null default 0;

-- How often the job was claimed since its last checkpoint. One that brings the server down at each start is held back.
alter table jobs add column vain_starts integer not null default 0 check (vain_starts >= 0);

-- The job whose checkpoint this one went on from, and the SHA-256 of that checkpoint.
alter table jobs add column forked_from blob references jobs (id) on delete set null;
alter table jobs add column start_sha256 text;

-- The job that this one is to end like, weights and all.
alter table jobs add column reproduces blob references jobs (id) on delete set null;

-- Claims and places in the queue; small, as few jobs wait.
create index jobs_waiting on jobs (priority desc, seq) where status = 'queued';

-- Rows without a parent need not be looked through when a job is deleted.
create index jobs_by_fork on jobs (forked_from) where forked_from is not null;
create index jobs_by_reproduction on jobs (reproduces) where reproduces is not null;

-- `Idempotency-Key`s and the jobs that they made. Their age is the only thing that is told by a clock: milliseconds since
-- 1970, of which those far in the past or, after a clock that went wrong, in the future are deleted.
create table idempotency_keys (
    key            text    not null primary key check (length(key) between 1 and 255),
    -- SHA-256 of the request's path and body.
    request_sha256 text    not null,
    job            blob    not null references jobs (id) on delete cascade,
    created_ms     integer not null
) strict, without rowid;

create index idempotency_keys_by_age on idempotency_keys (created_ms);
create index idempotency_keys_by_job on idempotency_keys (job);
