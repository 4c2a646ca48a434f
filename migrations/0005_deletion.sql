-- Jobs and models that clients delete. What names a deleted job goes on naming it: a version still tells who trained it, a
-- fork where it began. So these columns refer to no row. A reference cannot be taken off a column in SQLite, so the
-- columns are made anew; the table of jobs cannot, as dropping it would take all that belongs to the jobs along.
drop index jobs_by_fork;
drop index jobs_by_reproduction;

alter table jobs add column fork_source blob;
update jobs set fork_source = forked_from where forked_from is not null;
alter table jobs drop column forked_from;
alter table jobs rename column fork_source to forked_from;

alter table jobs add column original blob;
update jobs set original = reproduces where reproduces is not null;
alter table jobs drop column reproduces;
alter table jobs rename column original to reproduces;

-- SHA-256 of the original's weights, from when the original is deleted: whether they came out the same stays known.
alter table jobs add column original_sha256 text;

create index jobs_by_reproduction on jobs (reproduces) where reproduces is not null;

drop index model_versions_by_job;
alter table model_versions add column trained_by blob;
update model_versions set trained_by = job where job is not null;
alter table model_versions drop column job;
alter table model_versions rename column trained_by to job;

-- Weights go with the last job or version that has them.
create index jobs_by_weights on jobs (weights_sha256) where weights_sha256 is not null;
create index model_versions_by_weights on model_versions (weights_sha256);

create trigger weights_take_their_blob after delete on weights
begin
    delete from blobs where id = old.blob;
end;
