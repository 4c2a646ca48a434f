-- The history of a long training is thinned as it grows: of each so many mini-batches, and of each so many epochs, the rows
-- with the least and the largest figures stay, and the first and the last. 1: all rows are there.
alter table jobs add column steps_window integer not null default 1 check (steps_window > 0);
alter table jobs add column epochs_window integer not null default 1 check (epochs_window > 0);
