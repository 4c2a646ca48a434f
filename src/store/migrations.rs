//! How the tables came to be what they are.

use std::sync::LazyLock;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{SqlSafeStr as _, SqlStr};

/// The files of `migrations/`, oldest first. None is ever changed: databases keep the hashes of those that they have seen.
const FILES: [(&str, &str); 10] = [
    ("0001_jobs.sql", include_str!("../../migrations/0001_jobs.sql")),
    ("0002_validation_and_looks.sql", include_str!("../../migrations/0002_validation_and_looks.sql")),
    ("0003_imported_models.sql", include_str!("../../migrations/0003_imported_models.sql")),
    ("0004_life.sql", include_str!("../../migrations/0004_life.sql")),
    ("0005_deletion.sql", include_str!("../../migrations/0005_deletion.sql")),
    ("0006_webhooks.sql", include_str!("../../migrations/0006_webhooks.sql")),
    ("0007_uptime.sql", include_str!("../../migrations/0007_uptime.sql")),
    ("0008_resolution.sql", include_str!("../../migrations/0008_resolution.sql")),
    ("0009_checkpoint_retention.sql", include_str!("../../migrations/0009_checkpoint_retention.sql")),
    ("0010_cursors_and_builds.sql", include_str!("../../migrations/0010_cursors_and_builds.sql")),
];

/// Brings a database up to date. (The driver's macro would read the same from the folder, but have the compiler build the
/// driver and SQLite twice.)
pub(super) static MIGRATIONS: LazyLock<Migrator> =
    LazyLock::new(|| Migrator::with_migrations(FILES.into_iter().map(migration).collect()));

/// A file as the driver understands it: `<version>_<what_it_is_about>.sql`.
fn migration((name, sql): (&str, &'static str)) -> Migration {
    let (version, about) = name.trim_end_matches(".sql").split_once('_').expect("a version and what it is about");
    let version = version.parse().expect("a version is a number");
    let sql: SqlStr = sql.into_sql_str();
    Migration::new(version, about.replace('_', " ").into(), MigrationType::Simple, sql, false)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Databases of servers whose driver read the folder must be known again, and no file of it may be forgotten.
    #[tokio::test]
    async fn they_are_what_the_driver_reads_in_the_folder() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let read = Migrator::new(folder).await.unwrap();
        let all = |migrator: &Migrator| -> Vec<_> {
            let told =
                |m: &Migration| (m.version, m.description.clone(), m.migration_type, m.checksum.clone(), m.no_tx);
            migrator.iter().map(told).collect()
        };
        assert_eq!(all(&MIGRATIONS), all(&read));
    }
}
