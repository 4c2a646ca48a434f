-- Checkpoints of jobs that have ended, of which only so many are kept.

-- The order in which jobs have ended; null until then. A clock that was wrong for a while must not decide whose checkpoint
-- goes first. Of jobs that ended before this, the order in which they were accepted stands for it.
alter table jobs add column ended_seq integer;
update jobs set ended_seq = seq where finished_at is not null;
create index jobs_by_end on jobs (ended_seq) where ended_seq is not null;

-- When the server has removed the checkpoint of a job that has ended.
alter table jobs add column checkpoint_removed_at text;
