-- News of jobs, on their way to those who asked to be told.

-- Where the job's own client wants to be told, as in the spec.
alter table jobs add column webhook text;

-- A message is written with the change of state that it tells of, and sent afterwards: neither is there without the other.
create table webhook_messages (
    seq      integer primary key autoincrement,
    job      blob    not null references jobs (id) on delete cascade,
    -- The entry of the job's log that it tells of.
    event    integer not null check (event > 0),
    -- Where it goes; null for the server's own URL, whatever that is when it is sent.
    url      text,
    -- The scheme, host and port of `url`: one that is slow must not keep others waiting.
    receiver text,
    type     text    not null,
    body     text    not null,
    -- `sending` while an attempt is under way, or was when the server died.
    status   text    not null default 'pending' check (status in ('pending', 'sending', 'delivered', 'failed')),
    attempts integer not null default 0 check (attempts >= 0),
    -- When it is to be sent next, in milliseconds since 1970, and how long before that it was put off: at a time before
    -- that the clock has been set back, and nobody knows how long the message has waited.
    due_ms   integer not null,
    waits_ms integer not null default 0 check (waits_ms >= 0),
    -- What came of the last attempt.
    answer   text,
    check ((url is null) = (receiver is null))
) strict;

create index webhook_messages_by_job on webhook_messages (job, seq);
-- What is still to be sent, and what is only kept to be looked at.
create index webhook_messages_open on webhook_messages (due_ms) where status in ('pending', 'sending');
create index webhook_messages_settled on webhook_messages (seq) where status in ('delivered', 'failed');
