-- Figures on the samples that a job holds out.
alter table epochs add column validation_loss real;
alter table epochs add column validation_accuracy real;

-- Looks inside a network while it trains: one at the end of an epoch, about a hundred a job. JSON text, as the specs are.
create table diagnostics (
    job   blob    not null references jobs (id) on delete cascade,
    epoch integer not null,
    step  integer not null,
    body  text    not null,
    primary key (job, epoch)
) strict;

-- What the final weights of a job are worth on its test samples: one a job that succeeded.
create table evaluations (
    job  blob not null primary key references jobs (id) on delete cascade,
    body text not null
) strict;
