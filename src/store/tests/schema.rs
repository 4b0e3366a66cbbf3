//! The schemas of both engines, read from the databases themselves: they must be one and the same.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::store::sql::Row;

/// What must not differ of a table.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    columns: Vec<Column>,
    primary_key: Vec<String>,
    unique: BTreeSet<Vec<String>>,
    /// Column, and the words or numbers that it may hold.
    checks: BTreeMap<String, BTreeSet<String>>,
    /// Column, and `table(column)`.
    references: BTreeMap<String, String>,
    indexes: BTreeMap<String, Index>,
}

#[derive(Debug, PartialEq, Eq)]
struct Column {
    name: String,
    /// As SQLite says it.
    kind: String,
    nullable: bool,
    default: Option<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Index {
    columns: Vec<String>,
    unique: bool,
    /// Words in the condition of a partial one.
    condition: Option<BTreeSet<String>>,
}

type Schema = BTreeMap<String, Table>;

#[tokio::test]
async fn both_engines_have_the_same_tables() {
    let (sqlite, postgres) = (Scene::new(Engine::Sqlite).await, Scene::new(Engine::Postgres).await);
    let (sqlite, postgres) = (of_sqlite(&sqlite.store).await, of_postgres(&postgres.store).await);
    assert!(sqlite.len() > 20, "{:?}", sqlite.keys());
    assert_eq!(sqlite.keys().collect::<Vec<_>>(), postgres.keys().collect::<Vec<_>>());
    for (name, table) in &sqlite {
        assert_eq!(Some(table), postgres.get(name), "{name}: SQLite left, PostgreSQL right");
    }
    let checks: usize = sqlite.values().map(|table| table.checks.len()).sum();
    let indexes: usize = sqlite.values().map(|table| table.indexes.len()).sum();
    assert!(checks > 15 && indexes > 10, "{checks} checks and {indexes} indexes were read");
}

#[tokio::test]
async fn what_belongs_to_a_tenant_begins_its_key_with_the_tenant() {
    for (name, table) in of_sqlite(&Scene::new(Engine::Sqlite).await.store).await {
        if table.columns.iter().any(|column| column.name == "tenant_id") {
            assert_eq!(table.primary_key.first().map(String::as_str), Some("tenant_id"), "{name}");
        }
    }
}

/// Bytes decide what is equal and which comes first, as with SQLite, whatever the server's locale.
#[tokio::test]
async fn every_text_of_postgresql_is_compared_by_its_bytes() {
    const TEXTS: &str = "\
SELECT table_name || '.' || column_name, CAST(collation_name AS TEXT) FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name <> '_sqlx_migrations' AND data_type NOT IN ('bigint', 'bytea', 'double precision')";
    let scene = Scene::new(Engine::Postgres).await;
    let texts = rows_of(&scene.store, TEXTS, None).await;
    assert!(texts.len() > 100);
    for row in texts {
        assert_eq!(optional(&row, 1).as_deref(), Some("C"), "{}", text(&row, 0));
    }
}

#[test]
fn migrations_have_the_same_names_for_both_engines() {
    let names = |engine: &str| -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert!(names("sqlite").len() > 2);
    assert_eq!(names("sqlite"), names("postgres"));
}

/// Tables, and names and kinds of their columns.
pub(super) async fn columns(store: &Store) -> BTreeMap<String, Vec<(String, String)>> {
    let schema = match store.readers {
        Pool::Sqlite(_) => of_sqlite(store).await,
        Pool::Postgres(_) => of_postgres(store).await,
    };
    let columns = |table: Table| table.columns.into_iter().map(|column| (column.name, column.kind)).collect();
    schema.into_iter().map(|(name, table)| (name, columns(table))).collect()
}

async fn of_sqlite(store: &Store) -> Schema {
    const TABLES: &str = "\
SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> '_sqlx_migrations'";
    const COLUMNS: &str = "SELECT name, type, \"notnull\", dflt_value FROM pragma_table_info($1) ORDER BY cid";
    const KEY: &str = "SELECT name FROM pragma_table_info($1) WHERE pk > 0 ORDER BY pk";
    const REFERENCES: &str = "\
SELECT GROUP_CONCAT(\"from\", ' ' ORDER BY seq), \"table\" || '(' || GROUP_CONCAT(\"to\", ', ' ORDER BY seq) || ')' \
|| CASE on_delete WHEN 'NO ACTION' THEN '' ELSE ' ON DELETE ' || on_delete END
FROM pragma_foreign_key_list($1) GROUP BY id, \"table\", on_delete";
    const INDEXES: &str = "\
SELECT l.name, l.origin, l.\"unique\", s.sql FROM pragma_index_list($1) AS l LEFT JOIN sqlite_schema AS s ON s.name = l.name";
    const INDEXED: &str = "SELECT name FROM pragma_index_info($1) ORDER BY seqno";
    let mut schema = Schema::new();
    for row in rows_of(store, TABLES, None).await {
        let (name, sql) = (text(&row, 0), text(&row, 1));
        let mut table = Table { checks: checks_in(&sql), ..Table::default() };
        for row in rows_of(store, COLUMNS, Some(&name)).await {
            table.columns.push(Column {
                name: text(&row, 0),
                kind: text(&row, 1),
                nullable: number(&row, 2) == 0,
                default: optional(&row, 3),
            });
        }
        table.primary_key = texts(store, KEY, &name).await;
        for row in rows_of(store, REFERENCES, Some(&name)).await {
            table.references.insert(text(&row, 0), text(&row, 1));
        }
        for row in rows_of(store, INDEXES, Some(&name)).await {
            let columns = texts(store, INDEXED, &text(&row, 0)).await;
            match text(&row, 1).as_str() {
                "pk" => assert_eq!(columns, table.primary_key),
                "u" => assert!(table.unique.insert(columns)),
                _ => {
                    let condition = text(&row, 3).split_once(" WHERE ").map(|(_, condition)| words_in(condition));
                    table.indexes.insert(text(&row, 0), Index { columns, unique: number(&row, 2) == 1, condition });
                }
            }
        }
        schema.insert(name, table);
    }
    schema
}

async fn of_postgres(store: &Store) -> Schema {
    const COLUMNS: &str = "\
SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT), CAST(data_type AS TEXT), CAST(is_nullable AS TEXT), \
CAST(column_default AS TEXT) FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name <> '_sqlx_migrations' ORDER BY table_name, ordinal_position";
    const CONSTRAINTS: &str = "\
SELECT CAST(r.relname AS TEXT), CAST(c.contype AS TEXT), string_agg(a.attname, ' ' ORDER BY k.place), pg_get_constraintdef(c.oid)
FROM pg_constraint AS c JOIN pg_class AS r ON r.oid = c.conrelid
CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k (number, place)
JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum = k.number
WHERE r.relnamespace = CAST(current_schema() AS regnamespace) AND r.relname <> '_sqlx_migrations' GROUP BY r.relname, c.oid";
    const INDEXES: &str = "\
SELECT CAST(r.relname AS TEXT), CAST(x.relname AS TEXT), string_agg(a.attname, ' ' ORDER BY k.place), \
CAST(i.indisunique AS TEXT), pg_get_expr(i.indpred, i.indrelid)
FROM pg_index AS i JOIN pg_class AS r ON r.oid = i.indrelid JOIN pg_class AS x ON x.oid = i.indexrelid
CROSS JOIN LATERAL unnest(CAST(i.indkey AS int2[])) WITH ORDINALITY AS k (number, place)
JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum = k.number
WHERE r.relnamespace = CAST(current_schema() AS regnamespace)
    AND NOT EXISTS (SELECT 1 FROM pg_constraint AS c WHERE c.conindid = i.indexrelid)
GROUP BY r.relname, x.relname, i.indisunique, i.indpred, i.indrelid";
    let split = |text: String| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    let mut schema = Schema::new();
    for row in rows_of(store, COLUMNS, None).await {
        let kind = match text(&row, 2).as_str() {
            "text" => "TEXT",
            "bigint" => "INTEGER",
            "bytea" => "BLOB",
            "double precision" => "REAL",
            other => panic!("{}.{}: {other} has no counterpart", text(&row, 0), text(&row, 1)),
        };
        schema.entry(text(&row, 0)).or_default().columns.push(Column {
            name: text(&row, 1),
            kind: kind.to_owned(),
            nullable: text(&row, 3) == "YES",
            // PostgreSQL names the type of a text.
            default: optional(&row, 4).map(|value| value.trim_end_matches("::text").to_owned()),
        });
    }
    for row in rows_of(store, CONSTRAINTS, None).await {
        let (table, columns) = (schema.get_mut(&text(&row, 0)).unwrap(), text(&row, 2));
        let definition = text(&row, 3);
        match text(&row, 1).as_str() {
            "p" => table.primary_key = split(columns),
            "u" => assert!(table.unique.insert(split(columns))),
            "c" => drop(table.checks.insert(columns, words_in(&definition))),
            "f" => {
                let (_, target) = definition.split_once(" REFERENCES ").unwrap();
                table.references.insert(columns, target.to_owned());
            }
            other => panic!("a constraint of kind {other}"),
        }
    }
    for row in rows_of(store, INDEXES, None).await {
        let condition = optional(&row, 4).as_deref().map(words_in);
        let index = Index { columns: split(text(&row, 2)), unique: text(&row, 3) == "true", condition };
        schema.get_mut(&text(&row, 0)).unwrap().indexes.insert(text(&row, 1), index);
    }
    schema
}

/// `CHECK (column IN (…))` of a statement that makes a table.
fn checks_in(sql: &str) -> BTreeMap<String, BTreeSet<String>> {
    let parts = sql.split("CHECK (").skip(1);
    parts
        .map(|part| {
            let (column, list) = part.split_once(" IN (").expect("another form of CHECK: teach the test to read it");
            (column.to_owned(), words_in(list.split_once("))").unwrap().0))
        })
        .collect()
}

/// Words in quotes and numbers of an expression, in whatever form an engine tells it.
fn words_in(expression: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for (place, part) in expression.split('\'').enumerate() {
        if place % 2 == 1 {
            words.insert(part.to_owned());
        } else {
            let parts = part.split(|c: char| !c.is_alphanumeric() && c != '_');
            words.extend(parts.filter(|part| part.parse::<i64>().is_ok()).map(str::to_owned));
        }
    }
    words
}

async fn rows_of(store: &Store, sql: &'static str, name: Option<&str>) -> Vec<Row> {
    let query = match name {
        Some(name) => query(sql).bind(name),
        None => query(sql),
    };
    query.fetch_all(&store.readers).await.unwrap()
}

async fn texts(store: &Store, sql: &'static str, name: &str) -> Vec<String> {
    rows_of(store, sql, Some(name)).await.iter().map(|row| text(row, 0)).collect()
}

fn text(row: &Row, column: usize) -> String {
    row.try_get(column).unwrap()
}

fn optional(row: &Row, column: usize) -> Option<String> {
    row.try_get(column).unwrap()
}

fn number(row: &Row, column: usize) -> i64 {
    row.try_get(column).unwrap()
}
