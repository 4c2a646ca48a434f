-- Jobs, their logs, their checkpoints and weights, and the models these become.
--
-- Ids of jobs are uuids as 16 bytes: half of their text, and they lead every key below. `hex(id)` shows them.
-- Times are RFC 3339 text, as an event shows them: what is read back is what was sent, to the last digit. Nothing is
-- ordered by a time (clocks jump); order is `seq`.
-- Documents that only we read (spec, plan, progress, metrics, bodies of events) are JSON text: a 64-bit seed does not
-- fit an SQLite integer, and a new field of a spec must not need a migration.

-- Content of any size, cut into chunks: no value is ever larger than 1 MiB, so that no read takes more than that at once.
create table blobs (
    id    integer primary key,
    bytes integer not null check (bytes >= 0)
) strict;

-- With rowid: rows this large do not belong into the tree of a key.
create table chunks (
    blob integer not null references blobs (id) on delete cascade,
    n    integer not null check (n >= 0),
    data blob    not null check (length(data) between 1 and 1048576),
    primary key (blob, n)
) strict;

-- Final weights, by their content: the same weights are kept once, however many jobs end with them.
create table weights (
    sha256 text    not null primary key,
    blob   integer not null unique references blobs (id)
) strict;

create table jobs (
    -- The order in which jobs were accepted, which is the order in which they run. Never given twice.
    seq              integer primary key autoincrement,
    id               blob    not null unique check (length(id) = 16),
    -- `paused` is not used yet; a check cannot be widened without copying the table.
    status           text    not null check (status in ('queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled')),
    -- How often a worker has claimed the job. Every write of a run names its attempt, so that a run that has lost its
    -- job can write nothing more.
    attempt          integer not null default 0 check (attempt >= 0),
    last_event_id    integer not null default 0 check (last_event_id >= 0),
    spec             text    not null,
    plan             text    not null,
    progress         text    not null,
    metrics          text    not null,
    cancel_requested integer not null default 0 check (cancel_requested in (0, 1)),
    stop_reason      text,
    error            text,
    model            text    not null,
    model_version    integer,
    weights_sha256   text    references weights (sha256),
    created_at       text    not null,
    started_at       text,
    finished_at      text,
    check ((finished_at is null) = (status in ('queued', 'running', 'paused'))),
    check (status <> 'succeeded' or (weights_sha256 is not null and model_version is not null))
) strict;

-- The next job to run, places in the queue, lists of one status.
create index jobs_by_status on jobs (status, seq);

-- A job's log. A reader asks for what comes after an id of one job, which is one range of this table.
create table events (
    job  blob    not null references jobs (id) on delete cascade,
    id   integer not null check (id > 0),
    type text    not null,
    at   text    not null,
    body text    not null,
    primary key (job, id)
) strict, without rowid;

-- The history of a training, for charts: what its events say, once a step. A run that resumes goes over steps again;
-- the log keeps both, this table only what counts.
create table metrics (
    job                blob    not null references jobs (id) on delete cascade,
    step               integer not null,
    epoch              integer not null,
    loss               real,
    accuracy           real,
    learning_rate      real,
    samples_per_second real,
    at                 text    not null,
    primary key (job, step)
) strict, without rowid;

create table epochs (
    job            blob    not null references jobs (id) on delete cascade,
    epoch          integer not null,
    step           integer not null,
    train_loss     real,
    train_accuracy real,
    test_loss      real,
    test_accuracy  real,
    seconds        real,
    at             text    not null,
    primary key (job, epoch)
) strict, without rowid;

-- The newest state of a training to go on from: one a job, which owns its blob.
create table checkpoints (
    job             blob    not null primary key references jobs (id) on delete cascade,
    step            integer not null,
    trained_seconds real    not null,
    sha256          text    not null,
    blob            integer not null unique references blobs (id)
) strict;

-- Whichever way a checkpoint goes (replaced, no longer needed, or with its job), its bytes go with it.
create trigger checkpoint_takes_its_blob after delete on checkpoints
begin
    delete from blobs where id = old.blob;
end;

create table models (
    name         text    not null primary key,
    -- Counts up only: a version that was deleted is never given to other weights.
    last_version integer not null default 0 check (last_version >= 0)
) strict;

create table model_versions (
    -- The order in which versions were made, over all models.
    seq            integer primary key autoincrement,
    model          text    not null references models (name) on delete cascade,
    version        integer not null check (version > 0),
    -- Its spec tells how to read the weights, so the job stays while the version does.
    job            blob    not null references jobs (id) on delete restrict,
    weights_sha256 text    not null references weights (sha256),
    created_at     text    not null,
    unique (model, version)
) strict;

create index model_versions_by_job on model_versions (job);
