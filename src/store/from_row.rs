//! Structs that are read from a row, each field from the column of its name.

use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{Decode, Row as _, Type};

/// Says how a struct is read from a row: `from_row!(Row { status, last_event_id: i64 })`. A field with a type behind it is
/// read as that and converted, since SQLite's integers have a sign; what does not fit is damage.
macro_rules! from_row {
    ($row:ident { $($field:ident $(: $raw:ty)?),+ $(,)? }) => {
        impl ::sqlx::FromRow<'_, ::sqlx::sqlite::SqliteRow> for $row {
            fn from_row(row: &::sqlx::sqlite::SqliteRow) -> Result<Self, ::sqlx::Error> {
                Ok(Self { $($field: $crate::store::from_row::from_row!(@ row, $field $(, $raw)?)),+ })
            }
        }
    };
    (@ $row:ident, $field:ident) => {
        ::sqlx::Row::try_get($row, stringify!($field).trim_start_matches("r#"))?
    };
    (@ $row:ident, $field:ident, $raw:ty) => {
        $crate::store::from_row::converted::<$raw, _>($row, stringify!($field))?
    };
}
pub(super) use from_row;

/// The value of a column, which is read as `R`.
pub(super) fn converted<'r, R, T>(row: &'r SqliteRow, column: &str) -> Result<T, sqlx::Error>
where
    R: Decode<'r, Sqlite> + Type<Sqlite>,
    T: TryFrom<R, Error: std::error::Error + Send + Sync + 'static>,
{
    let damaged = |error: T::Error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: error.into() };
    T::try_from(row.try_get::<R, _>(column)?).map_err(damaged)
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;

    #[derive(Debug, PartialEq)]
    struct Named {
        r#type: String,
        steps: u64,
        rest: Option<f64>,
    }
    from_row!(Named { r#type, steps: i64, rest });

    async fn read(columns: &str) -> Result<Named, sqlx::Error> {
        let mut db = sqlx::SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::query_as(sqlx::AssertSqlSafe(format!("select {columns}"))).fetch_one(&mut db).await
    }

    #[tokio::test]
    async fn a_row_is_read_by_the_names_of_its_columns() {
        let named = read("null as rest, 7 as steps, 'job' as type").await.unwrap();
        assert_eq!(named, Named { r#type: "job".into(), steps: 7, rest: None });
    }

    #[tokio::test]
    async fn what_does_not_fit_is_damage() {
        for (columns, named) in [
            ("-7 as steps, 'job' as type, null as rest", "steps"),
            ("'x' as steps, 'job' as type, null as rest", "steps"),
            ("7 as steps, 7 as type, null as rest", "type"),
        ] {
            let error = read(columns).await.unwrap_err();
            assert!(matches!(&error, sqlx::Error::ColumnDecode { index, .. } if index.contains(named)), "{error:?}");
        }
        assert!(matches!(read("7 as steps, 'job' as type").await, Err(sqlx::Error::ColumnNotFound(_))));
    }
}
