//! Inserting many rows with few statements.

use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite};

use super::Connection;

/// Sizes in which rows are inserted together: few, so that the prepared statements are found again.
const SIZES: [usize; 3] = [32, 8, 1];

/// Inserts `rows` by `head` (`INSERT INTO t (a, b) `), each bound by `bind`.
pub(super) async fn insert<R>(
    connection: &mut Connection,
    head: &'static str,
    rows: &[R],
    bind: impl Fn(&mut Separated<'_, Sqlite, &'static str>, &R),
) -> Result<(), sqlx::Error> {
    let mut rest = rows;
    for size in SIZES {
        while rest.len() >= size {
            let (chunk, behind) = rest.split_at(size);
            let mut query = QueryBuilder::new(head);
            query.push_values(chunk, |mut row, value| bind(&mut row, value));
            query.build().execute(&mut *connection).await?;
            rest = behind;
        }
    }
    Ok(())
}
