-- Versions of models that no job has trained: weights that clients bring along. So a version has a spec and figures of its
-- own. A column cannot be made nullable in SQLite, so the table is made anew.
create table new_model_versions (
    -- The order in which versions were made, over all models.
    seq            integer primary key autoincrement,
    model          text    not null references models (name) on delete cascade,
    version        integer not null check (version > 0),
    -- The job that trained it; null for one that was imported.
    job            blob    references jobs (id) on delete restrict,
    -- Tells how to read the weights.
    spec           text    not null,
    parameters     integer not null check (parameters >= 0),
    -- Share of the test samples read right, where that is known.
    test_accuracy  real,
    weights_sha256 text    not null references weights (sha256),
    created_at     text    not null,
    unique (model, version)
) strict;

-- Documents that are damaged must not keep the store from opening.
insert into new_model_versions
    (seq, model, version, job, spec, parameters, test_accuracy, weights_sha256, created_at)
select v.seq, v.model, v.version, v.job, jobs.spec,
       coalesce(case when json_valid(jobs.plan) then json_extract(jobs.plan, '$.parameters') end, 0),
       case when json_valid(jobs.metrics) then json_extract(jobs.metrics, '$.test_accuracy') end,
       v.weights_sha256, v.created_at
from model_versions as v join jobs on jobs.id = v.job;

drop table model_versions;
alter table new_model_versions rename to model_versions;

create index model_versions_by_job on model_versions (job);
