//! News of jobs, on their way to those who asked to be told.
//!
//! A message is written in the transaction that moves its job, so neither is ever there without the other. It is claimed
//! before it is sent and settled afterwards: a crash in between has it sent again, never lost. The clock on the wall tells
//! when it is its turn; where that clock has been set back, it is its turn at once.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::Notify;
use uuid::Uuid;

use super::error::{Corrupt, StoreError};
use super::from_row::from_row;
use super::open::{Store, Tx};
use super::row::{int, json};
use crate::job::event::{Event, EventBody};
use crate::job::webhook::{Announcement, parse_url};

/// How long an attempt may go unsettled before the message is sent again: far longer than an attempt takes.
const LEASE: Duration = Duration::from_secs(120);

/// Settled messages that are kept to be looked at, of all jobs together: the newest.
const KEPT: i64 = 1000;

/// Messages of one job that are told at once.
const SHOWN: u32 = 100;

/// Whether it is a message's turn.
macro_rules! due {
    ($table:literal) => {
        concat!("(", $table, ".due_ms <= ?1 or ", $table, ".due_ms - ", $table, ".waits_ms > ?1)")
    };
}

/// What a store knows of messages besides those in its tables.
#[derive(Debug, Clone, Default)]
pub(super) struct Outbox {
    /// Whether the server itself has a URL that is told of every job.
    server: bool,
    /// Told when there is a new message.
    news: Arc<Notify>,
}

impl Outbox {
    pub(super) fn tell(&self) {
        self.news.notify_one();
    }
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    seq: i64,
    /// What names it, the same at each attempt.
    pub id: String,
    /// Its job.
    pub job: Uuid,
    /// Where it goes, unless to the server's own URL.
    pub url: Option<String>,
    /// What it says.
    pub body: String,
    /// The number of this attempt, from 1.
    pub attempt: u32,
}

/// Which messages may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// At most so many.
    pub most: u32,
    /// At most so many at the same time to one receiver.
    pub each: u32,
    /// Whether those to the server's own URL are among them.
    pub server: bool,
}

/// What becomes of a message after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Its receiver has it.
    Delivered,
    /// It is sent again after this time.
    PutOff(Duration),
    /// It is not sent again.
    Failed,
}

/// A message as those see it who look after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageView {
    /// Its `webhook-id`.
    pub id: String,
    /// What it tells, such as `job.succeeded`.
    pub r#type: String,
    /// Whose URL it goes to: `job` or `server`.
    pub to: &'static str,
    /// `pending`, `sending`, `delivered` or `failed`.
    pub status: String,
    /// How often it was sent.
    pub attempts: u32,
    /// When it is sent next, if it is.
    pub next_attempt_at: Option<Timestamp>,
    /// What came of the last attempt.
    pub answer: Option<String>,
}

struct Row {
    seq: i64,
    job: Uuid,
    event: i64,
    url: Option<String>,
    body: String,
    attempts: u32,
}
from_row!(Row { seq, job, event, url, body, attempts });

struct ViewRow {
    event: i64,
    r#type: String,
    to_job: bool,
    status: String,
    attempts: u32,
    due_ms: i64,
    answer: Option<String>,
}
from_row!(ViewRow { event, r#type, to_job, status, attempts, due_ms, answer });

impl Store {
    /// This store, of a server that has a URL of its own: it is told of every job.
    #[must_use]
    pub fn telling_the_server(mut self) -> Self {
        self.outbox.server = true;
        self
    }

    /// Waits until a message was written since the last wait.
    pub async fn message_written(&self) {
        self.outbox.news.notified().await;
    }

    /// Lets the messages go again that were being sent when the last process ended: for a server that starts. Their
    /// attempts do not count.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn release_messages(&self, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        sqlx::query(
            "update webhook_messages set status = 'pending', attempts = attempts - 1, due_ms = ?, waits_ms = 0
             where status = 'sending'",
        )
        .bind(at.as_millisecond())
        .execute(&mut *tx)
        .await?;
        tx.commit().await
    }

    /// Takes messages to send whose turn it is: one of each receiver first, then those that have waited longest. What is
    /// not settled within two minutes is taken again.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn claim_messages(&self, at: Timestamp, room: Room) -> Result<Vec<Message>, StoreError> {
        let now = at.as_millisecond();
        // Asked without the write lock, as there mostly is none.
        let any: bool = sqlx::query_scalar(concat!(
            "select exists (select 1 from webhook_messages as m
                            where m.status in ('pending', 'sending') and ",
            due!("m"),
            " and (?2 or m.url is not null))"
        ))
        .bind(now)
        .bind(room.server)
        .fetch_one(&self.readers)
        .await?;
        if !any || room.most == 0 {
            return Ok(vec![]);
        }
        let mut tx = self.write().await?;
        let mut rows: Vec<Row> = sqlx::query_as(concat!(
            "with busy as materialized (
                 select receiver, count(*) as messages from webhook_messages as m
                 where status in ('pending', 'sending') and status = 'sending' and not ",
            due!("m"),
            " group by receiver),
             turns as (
                 select m.seq, m.due_ms, row_number() over (partition by m.receiver order by m.due_ms, m.seq)
                      + coalesce(busy.messages, 0) as turn
                 from webhook_messages as m left join busy on busy.receiver is m.receiver
                 where m.status in ('pending', 'sending') and ",
            due!("m"),
            " and (?3 or m.url is not null))
             update webhook_messages
             set status = 'sending', attempts = attempts + 1, due_ms = ?1 + ?2, waits_ms = ?2
             where seq in (select seq from turns where turn <= ?4 order by turn, due_ms, seq limit ?5)
             returning seq, job, event, url, body, attempts"
        ))
        .bind(now)
        .bind(millis(LEASE))
        .bind(room.server)
        .bind(room.each)
        .bind(room.most)
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.sort_by_key(|row| row.seq);
        let message = |Row { seq, job, event, url, body, attempts }| {
            let id = id(job, event);
            Message { seq, id, job, url, body, attempt: attempts }
        };
        Ok(rows.into_iter().map(message).collect())
    }

    /// Says what came of an attempt. Of a message that is gone, or was sent again meanwhile, nothing is written.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn settle_message(
        &self,
        message: &Message,
        settled: Settled,
        answer: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let (status, delay) = match settled {
            Settled::Delivered => ("delivered", Duration::ZERO),
            Settled::PutOff(delay) => ("pending", delay),
            Settled::Failed => ("failed", Duration::ZERO),
        };
        let mut tx = self.write().await?;
        sqlx::query(
            "update webhook_messages set status = ?, due_ms = ?, waits_ms = ?, answer = ?
             where seq = ? and attempts = ? and status = 'sending'",
        )
        .bind(status)
        .bind(at.as_millisecond().saturating_add(millis(delay)))
        .bind(millis(delay))
        .bind(answer)
        .bind(message.seq)
        .bind(message.attempt)
        .execute(&mut *tx)
        .await?;
        if status != "pending" {
            sqlx::query(
                "delete from webhook_messages where seq in
                     (select seq from webhook_messages where status in ('delivered', 'failed')
                      order by seq desc limit -1 offset ?)",
            )
            .bind(KEPT)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await
    }

    /// The messages of a job, the newest first, and whether there are more than are told at once. Of those that are
    /// settled the newest thousand of all jobs are kept.
    ///
    /// # Errors
    /// Any failure of the database.
    pub async fn messages(&self, job: Uuid) -> Result<super::Page<MessageView>, StoreError> {
        let mut rows: Vec<ViewRow> = sqlx::query_as(
            "select event, type, url is not null as to_job, status, attempts, due_ms, answer from webhook_messages
             where job = ? order by seq desc limit ?",
        )
        .bind(job)
        .bind(SHOWN + 1)
        .fetch_all(&self.readers)
        .await?;
        let has_more = rows.len() > SHOWN as usize;
        rows.truncate(SHOWN as usize);
        let data = rows.into_iter().map(|row| row.into_view(job)).collect::<Result<_, Corrupt>>()?;
        Ok(super::Page { data, has_more })
    }
}

impl ViewRow {
    fn into_view(self, job: Uuid) -> Result<MessageView, Corrupt> {
        let due = Timestamp::from_millisecond(self.due_ms);
        let due = due.map_err(|error| Corrupt::new(format!("due_ms of a message of job {job}: {error}")))?;
        Ok(MessageView {
            id: id(job, self.event),
            r#type: self.r#type,
            to: if self.to_job { "job" } else { "server" },
            next_attempt_at: (self.status == "pending").then_some(due),
            status: self.status,
            attempts: self.attempts,
            answer: self.answer,
        })
    }
}

/// What names the message of an event. Without a dot: those part what is signed.
fn id(job: Uuid, event: i64) -> String {
    format!("msg_{}_{event}", job.simple())
}

fn millis(delay: Duration) -> i64 {
    i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)
}

/// Writes what others are told of a change of state that is being written: the job's own receiver, and the server's.
pub(super) async fn announce(tx: &mut Tx, webhook: Option<&str>, event: &Event) -> Result<(), StoreError> {
    let EventBody::State(state) = &event.body else { return Ok(()) };
    let Some(announcement) = Announcement::of(event.job, event.at, state) else { return Ok(()) };
    let server = tx.outbox.server.then_some(None);
    for url in webhook.map(Some).into_iter().chain(server) {
        // A URL was read before it was kept.
        let receiver =
            url.map(|url| parse_url(url).map_or_else(|_| url.into(), |url| url.origin().ascii_serialization()));
        sqlx::query(
            "insert into webhook_messages (job, event, url, receiver, type, body, due_ms) values (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(event.job)
        .bind(int(event.id)?)
        .bind(url)
        .bind(receiver)
        .bind(announcement.r#type)
        .bind(json(&announcement)?)
        .bind(event.at.as_millisecond())
        .execute(&mut **tx)
        .await?;
        tx.announced = true;
    }
    Ok(())
}
