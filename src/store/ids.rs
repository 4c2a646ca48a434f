//! Ids of jobs: UUIDs version 7, in the order in which the jobs were accepted, whatever the clock says.

use jiff::Timestamp;
use sqlx::SqliteConnection;
use uuid::{Builder, Uuid};

use super::error::StoreError;

/// The last millisecond that an id can tell: some 8,900 years ahead.
const LAST: u64 = (1 << 48) - 1;

/// The id of a job that is accepted now, in the transaction that accepts it.
///
/// Where the clock was put back, the time in it is that of the job before, and a millisecond: clients sort by id.
pub(super) async fn next(db: &mut SqliteConnection, at: Timestamp) -> Result<Uuid, StoreError> {
    let greatest: Option<Uuid> = sqlx::query_scalar("select max(id) from jobs").fetch_one(db).await?;
    Ok(after(greatest, u64::try_from(at.as_millisecond()).unwrap_or(0)))
}

fn after(greatest: Option<Uuid>, now: u64) -> Uuid {
    let mut random = [0; 10];
    random.copy_from_slice(&Uuid::now_v7().as_bytes()[6..]);
    let id = |millis: u64| Builder::from_unix_timestamp_millis(millis.min(LAST), &random).into_uuid();
    let new = id(now);
    match greatest {
        Some(greatest) if new <= greatest => id(millis_of(greatest) + 1),
        _ => new,
    }
}

fn millis_of(id: Uuid) -> u64 {
    id.as_bytes()[..6].iter().fold(0, |millis, byte| millis << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_rise_however_the_clock_jumps(times in prop::collection::vec(0..LAST / 2, 1..50)) {
            let mut greatest = None;
            for now in times {
                let id = after(greatest, now);
                prop_assert!(greatest.is_none_or(|greatest| greatest < id));
                prop_assert!(millis_of(id) >= now);
                prop_assert_eq!(id.get_version_num(), 7);
                greatest = Some(id);
            }
        }
    }

    #[test]
    fn an_id_tells_the_time() {
        assert_eq!(millis_of(after(None, 1_764_000_000_123)), 1_764_000_000_123);
    }
}
