//! Inserting many rows with few statements.

use super::sql::{Connection, Value, built};

/// Sizes in which rows are inserted together: few, so that the prepared statements are found again.
const SIZES: [usize; 3] = [32, 8, 1];

/// The values of rows that are being bound.
#[derive(Default)]
pub(super) struct Values<'r>(Vec<Value<'r>>);

impl<'r> Values<'r> {
    /// The next column's value.
    pub(super) fn push_bind(&mut self, value: impl Into<Value<'r>>) -> &mut Self {
        self.0.push(value.into());
        self
    }
}

/// Inserts `rows` by `head` (`INSERT INTO t (a, b) `), each bound by `bind`, with `tail` (`ON CONFLICT …`) behind them.
/// How many rows were inserted.
pub(super) async fn insert_with_tail<'r, R>(
    connection: &mut Connection,
    head: &'static str,
    tail: &'static str,
    rows: &'r [R],
    bind: impl Fn(&mut Values<'r>, &'r R),
) -> Result<u64, sqlx::Error> {
    let mut rest = rows;
    let mut inserted = 0;
    for size in SIZES {
        while rest.len() >= size {
            let (chunk, behind) = rest.split_at(size);
            let mut values = Values::default();
            chunk.iter().for_each(|row| bind(&mut values, row));
            let sql = statement(head, tail, size, values.0.len() / size);
            inserted += built(sql).bind_all(values.0).execute(&mut *connection).await?;
            rest = behind;
        }
    }
    Ok(inserted)
}

/// As [`insert_with_tail`], without a tail.
pub(super) async fn insert<'r, R>(
    connection: &mut Connection,
    head: &'static str,
    rows: &'r [R],
    bind: impl Fn(&mut Values<'r>, &'r R),
) -> Result<(), sqlx::Error> {
    insert_with_tail(connection, head, "", rows, bind).await.map(|_| ())
}

/// `head VALUES ($1, $2), ($3, $4) tail`.
fn statement(head: &str, tail: &str, rows: usize, columns: usize) -> String {
    let mut sql = String::with_capacity(head.len() + tail.len() + rows * columns * 6 + 16);
    sql.push_str(head);
    sql.push_str("VALUES ");
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 1..=columns {
            sql.push_str(if column == 1 { "$" } else { ", $" });
            sql.push_str(&(row * columns + column).to_string());
        }
        sql.push(')');
    }
    sql.push(' ');
    sql.push_str(tail);
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_counted_through_all_rows() {
        let sql = statement("INSERT INTO t (a, b) ", "ON CONFLICT DO NOTHING", 2, 2);
        assert_eq!(sql, "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING");
    }
}
