//! Whether a statement says whose rows it means.

use std::collections::BTreeSet;

/// Names of the tables with rows of tenants.
pub type Tables = BTreeSet<String>;

/// One SELECT, UPDATE, INSERT or DELETE, with the place that it stands in.
#[derive(Debug, Default)]
struct Scope {
    /// The scope around it.
    outer: Option<usize>,
    /// Tables of tenants here: alias.
    named: Vec<String>,
    /// Aliases that are restricted by a value.
    bound: BTreeSet<String>,
    /// Pairs of aliases of one tenant; the first is bound by the second.
    equal: Vec<(String, String)>,
    /// What ON of an outer join restricts: only the table that it joins.
    joined: Option<String>,
    in_condition: bool,
    has_or: bool,
}

/// Whether the text is a statement or part of one.
pub fn is_sql(text: &str) -> bool {
    ["SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ", "FROM "]
        .iter()
        .any(|start| text.trim_start().starts_with(start))
}

/// What is wrong with it; nothing where it names no rows of tenants.
pub fn faults(text: &str, tables: &Tables) -> Vec<String> {
    let words = words(text);
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let mut faults = Vec::new();
    let mut scopes = vec![Scope::default()];
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut here = 0;
    for at in 0..words.len() {
        let before = if at == 0 { "" } else { word(at - 1) };
        match word(at) {
            "(" => {
                let is_scope = word(at + 1) == "SELECT";
                open.push(is_scope.then_some(here));
                if is_scope {
                    scopes.push(Scope { outer: Some(here), ..Scope::default() });
                    here = scopes.len() - 1;
                }
            }
            ")" => here = open.pop().flatten().unwrap_or(here),
            "FROM" | "JOIN" | "UPDATE" | "INTO"
                if !["FOR", "DO", "KEY"].contains(&before) && tables.contains(word(at + 1)) =>
            {
                let (table, next) = (word(at + 1), word(at + 2));
                if word(at) == "INTO" {
                    insert(&words[at + 2..], &mut faults);
                    continue;
                }
                let alias = if next == "AS" { word(at + 3) } else { table };
                if next == "," || (next == "AS" && word(at + 4) == ",") {
                    faults.push("tables behind commas are not read: use JOIN".to_owned());
                }
                scopes[here].named.push(alias.to_owned());
                scopes[here].joined = (before == "LEFT").then(|| alias.to_owned());
            }
            name @ ("from" | "join" | "update" | "into") if tables.contains(word(at + 1)) => {
                faults.push(format!("`{name}` must be in capitals"));
            }
            "WHERE" | "ON" if is_level(&open) => {
                scopes[here].in_condition = word(at + 1) != "CONFLICT";
                if word(at) == "WHERE" {
                    scopes[here].joined = None;
                }
            }
            "OR" if is_level(&open) && scopes[here].in_condition => scopes[here].has_or = true,
            name @ ("UNION" | "EXCEPT" | "INTERSECT") => faults.push(format!("{name} is not read")),
            "tenant_id" if is_level(&open) && scopes[here].in_condition => {
                restrict(&words, at, &mut scopes[here]);
            }
            _ => {}
        }
    }
    for place in 0..scopes.len() {
        for alias in &scopes[place].named {
            if !is_bound(&scopes, place, alias, &mut Vec::new()) {
                faults.push(format!("rows of `{alias}` are of no tenant"));
            }
        }
    }
    faults
}

/// Not within brackets of a condition.
fn is_level(open: &[Option<usize>]) -> bool {
    open.last().is_none_or(Option::is_some)
}

/// Reads `[a.]tenant_id = $1` or `a.tenant_id = b.tenant_id` where `at` is its first column.
fn restrict(words: &[String], at: usize, scope: &mut Scope) {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let (alias, start) = if at > 1 && word(at - 1) == "." { (word(at - 2), at - 2) } else { ("", at) };
    let before = if start == 0 { "" } else { word(start - 1) };
    if !["WHERE", "ON", "AND"].contains(&before) || word(at + 1) != "=" {
        return;
    }
    let alias = match (alias, &scope.named[..]) {
        ("", [only]) => only.clone(),
        (alias, _) => alias.to_owned(),
    };
    if word(at + 2).starts_with('$') && !["+", "-", "|"].contains(&word(at + 3)) {
        if scope.joined.as_ref().is_none_or(|joined| *joined == alias) {
            scope.bound.insert(alias);
        }
    } else if word(at + 3) == "." && word(at + 4) == "tenant_id" {
        let other = word(at + 2).to_owned();
        match &scope.joined {
            Some(joined) if *joined == alias => scope.equal.push((alias, other)),
            Some(joined) if *joined == other => scope.equal.push((other, alias)),
            Some(_) => {}
            None => scope.equal.extend([(alias.clone(), other.clone()), (other, alias)]),
        }
    }
}

/// Whether an alias is restricted, in its scope or by one that is, there or around it.
fn is_bound(scopes: &[Scope], place: usize, alias: &str, asked: &mut Vec<(usize, String)>) -> bool {
    let name = (place, alias.to_owned());
    if asked.contains(&name) {
        return false;
    }
    asked.push(name);
    let scope = &scopes[place];
    if !scope.named.iter().any(|named| named == alias) {
        return scope.outer.is_some_and(|outer| is_bound(scopes, outer, alias, asked));
    }
    // One more OR at the same level and the restriction is none.
    !scope.has_or
        && (scope.bound.contains(alias)
            || scope.equal.iter().any(|(left, right)| left == alias && is_bound(scopes, place, right, asked)))
}

/// `(tenant_id, …) … [ON CONFLICT (tenant_id, …) DO UPDATE …]`.
fn insert(rest: &[String], faults: &mut Vec<String>) {
    let word = |at: usize| rest.get(at).map_or("", String::as_str);
    if (word(0), word(1)) != ("(", "tenant_id") {
        faults.push("an insert must begin with the tenant".to_owned());
    }
    for at in 0..rest.len() {
        let conflict = (word(at), word(at + 1), word(at + 2)) == ("ON", "CONFLICT", "(");
        // Another tenant's row must not be what is changed instead.
        if conflict && rest.contains(&"UPDATE".to_owned()) && word(at + 3) != "tenant_id" {
            faults.push("what is changed on a conflict may be another tenant's".to_owned());
        }
    }
}

fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\'' {
            // Values in quotes.
            rest.by_ref().find(|c| *c == '\'');
        } else if c.is_alphanumeric() || c == '_' || c == '$' {
            let mut word = String::from(c);
            while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(c);
            }
            words.push(word);
        } else if !c.is_whitespace() {
            words.push(c.to_string());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(text: &str) -> usize {
        let tables = ["events", "apps", "tenants", "mailboxes"].map(str::to_owned).into();
        faults(text, &tables).len()
    }

    #[test]
    fn a_statement_that_says_whose_rows_it_means_is_right() {
        for text in [
            "SELECT 1 FROM events WHERE tenant_id = $1 AND (x IS NULL OR y = $2)",
            "SELECT 1 FROM events AS e JOIN apps AS a ON a.tenant_id = e.tenant_id WHERE e.tenant_id = $1",
            "SELECT 1 FROM events AS e LEFT JOIN apps AS a ON e.tenant_id = a.tenant_id AND a.x = e.x WHERE e.tenant_id = $1",
            "UPDATE events SET a = (SELECT 1 FROM apps AS a WHERE a.tenant_id = events.tenant_id) WHERE tenant_id = $2",
            "SELECT EXISTS (SELECT 1 FROM apps WHERE tenant_id = $1) OR EXISTS (SELECT 1 FROM events WHERE tenant_id = $1)",
            "INSERT INTO apps (tenant_id, name) VALUES ($1, $2) ON CONFLICT (tenant_id, name) DO UPDATE SET name = excluded.name",
            "INSERT INTO apps (tenant_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            "SELECT 1 FROM tenants WHERE tenant_id = $1 FOR NO KEY UPDATE",
            "DELETE FROM lanes WHERE lane = $1",
            "UPDATE events SET a = CASE WHEN b OR c THEN 1 END WHERE tenant_id = $1",
            "the tenant has mail or events",
        ] {
            assert_eq!(faults_of(text), 0, "{text}");
        }
    }

    #[test]
    fn a_statement_that_does_not_is_found() {
        for text in [
            "SELECT 1 FROM events",
            "SELECT tenant_id FROM events WHERE event_id = $1",
            "SELECT 1 FROM events WHERE tenant_id = $1 OR event_id = $2",
            "SELECT 1 FROM events WHERE (event_id = $2 OR tenant_id = $1)",
            "SELECT 1 FROM events WHERE NOT tenant_id = $1",
            "SELECT 1 FROM events WHERE tenant_id <> $1",
            "SELECT 1 FROM events WHERE tenant_id = tenant_id",
            "SELECT 1 FROM events AS e WHERE e.tenant_id = e.tenant_id",
            "SELECT 1 FROM events AS e JOIN apps AS a ON a.app_id = e.app_id WHERE e.tenant_id = $1",
            "SELECT 1 FROM events AS e LEFT JOIN apps AS a ON e.tenant_id = $1 AND a.tenant_id = e.tenant_id",
            "SELECT (SELECT 1 FROM apps AS a WHERE a.app_id = e.app_id) FROM events AS e WHERE e.tenant_id = $1",
            "SELECT 1 FROM events, apps WHERE tenant_id = $1",
            "SELECT 1 FROM events WHERE tenant_id = $1 UNION SELECT 1 FROM events",
            "UPDATE events SET tenant_id = $1 WHERE event_id = $2",
            "UPDATE events SET a = 1",
            "DELETE FROM apps WHERE app_id = $1",
            "INSERT INTO apps (name, tenant_id) VALUES ($1, $2)",
            "INSERT INTO mailboxes (tenant_id, key) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET state = 'active'",
            "select 1 from events where tenant_id = $1",
        ] {
            assert!(faults_of(text) > 0, "{text}");
        }
    }
}
