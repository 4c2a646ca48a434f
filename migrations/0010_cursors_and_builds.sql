-- Places in the list of jobs that outlive their jobs: a client that pages by the id of a job goes on where it was though
-- the job is deleted meanwhile. `seq` is that of the deleted row and is never given again.
create table deleted_jobs (
    id  blob    not null primary key check (length(id) = 16),
    seq integer not null
) strict, without rowid;

-- The builds and kernels that have trained a job, as JSON text: a list of distinct ones, the first one first. Empty for
-- jobs that were trained before this was recorded.
alter table jobs add column trained_with text not null default '[]';

-- That of the original, from when the original is deleted, as `original_sha256`.
alter table jobs add column original_trained_with text;
