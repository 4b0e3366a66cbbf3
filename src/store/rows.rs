//! Inserting many rows with few statements.

use super::sql::{Connection, Value, built};

/// Sizes in which rows are handled together: few, so that the prepared statements are found again.
const SIZES: [usize; 6] = [32, 16, 8, 4, 2, 1];

/// `rows` in pieces of those sizes.
pub(super) fn chunks<R>(rows: &[R]) -> impl Iterator<Item = &[R]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| rest.len() >= *size)?;
        let (chunk, behind) = rest.split_at(size);
        rest = behind;
        Some(chunk)
    })
}

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

/// Inserts `rows` by `head` (`INSERT INTO t (a, b) `), each bound by `bind`.
pub(super) async fn insert<'r, R>(
    connection: &mut Connection,
    head: &'static str,
    rows: &'r [R],
    bind: impl Fn(&mut Values<'r>, &'r R),
) -> Result<(), sqlx::Error> {
    insert_unless(connection, head, "", rows, bind).await
}

/// As [`insert`], with a tail (`ON CONFLICT …`).
pub(super) async fn insert_unless<'r, R>(
    connection: &mut Connection,
    head: &'static str,
    tail: &'static str,
    rows: &'r [R],
    bind: impl Fn(&mut Values<'r>, &'r R),
) -> Result<(), sqlx::Error> {
    for chunk in chunks(rows) {
        let mut values = Values::default();
        chunk.iter().for_each(|row| bind(&mut values, row));
        let sql = statement(head, tail, chunk.len(), values.0.len() / chunk.len());
        built(sql).bind_all(values.0).execute(&mut *connection).await?;
    }
    Ok(())
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
    fn rows_are_taken_in_a_few_sizes_and_none_is_left() {
        let sizes = |count: usize| chunks(&vec![0; count]).map(<[i32]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(0), Vec::<usize>::new());
        assert_eq!(sizes(71), [32, 32, 4, 2, 1]);
    }

    #[test]
    fn placeholders_are_counted_through_all_rows() {
        let sql = statement("INSERT INTO t (a, b) ", "ON CONFLICT DO NOTHING", 2, 2);
        assert_eq!(sql, "INSERT INTO t (a, b) VALUES ($1, $2), ($3, $4) ON CONFLICT DO NOTHING");
    }
}
