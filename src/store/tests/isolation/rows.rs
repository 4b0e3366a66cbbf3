//! Every row of a tenant, as text.

use super::*;

/// All rows of a tenant.
pub(super) struct Rows {
    tenant: TenantId,
    /// Table, and what reads its rows as text.
    statements: Vec<(String, String)>,
    pub(super) before: BTreeMap<String, Vec<String>>,
}

impl Rows {
    pub(super) async fn of(tenant: TenantId, store: &Store) -> Self {
        let mut statements = Vec::new();
        for (table, columns) in schema::columns(store).await {
            if columns.iter().any(|(name, _)| name == "tenant_id") {
                let shown: Vec<String> = columns.iter().map(|(name, kind)| as_text(name, kind, store)).collect();
                let sql = format!("SELECT {} FROM {table} WHERE tenant_id = $1", shown.join(" || '|' || "));
                statements.push((table, sql));
            }
        }
        let mut rows = Self { tenant, statements, before: BTreeMap::new() };
        rows.before = rows.now(store).await;
        rows
    }

    pub(super) async fn now(&self, store: &Store) -> BTreeMap<String, Vec<String>> {
        let mut found = BTreeMap::new();
        for (table, sql) in &self.statements {
            let rows = sql::built(sql.clone()).bind(self.tenant.to_string()).fetch_all(&store.readers).await.unwrap();
            let mut rows: Vec<String> = rows.iter().map(|row| row.try_get(0).unwrap()).collect();
            rows.sort();
            found.insert(table.clone(), rows);
        }
        found
    }
}

fn as_text(column: &str, kind: &str, store: &Store) -> String {
    let text = match (kind, &store.readers) {
        ("BLOB", Pool::Sqlite(_)) => format!("hex({column})"),
        ("BLOB", Pool::Postgres(_)) => format!("encode({column}, 'hex')"),
        _ => format!("CAST({column} AS TEXT)"),
    };
    format!("COALESCE({text}, '')")
}
