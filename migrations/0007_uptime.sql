-- How long servers have been up with this database, in milliseconds, all of them together. Keys of requests are as old as
-- this says: a clock on the wall that jumps by years must not make a request new that has made a job an hour ago.
create table uptime (
    only_row integer not null primary key check (only_row = 1),
    ms       integer not null check (ms >= 0)
) strict;

insert into uptime (only_row, ms) values (1, 0);

drop index idempotency_keys_by_age;
alter table idempotency_keys rename column created_ms to uptime_ms;
-- Those there are begin anew: they are remembered for longer rather than for less.
update idempotency_keys set uptime_ms = 0;
create index idempotency_keys_by_age on idempotency_keys (uptime_ms);
