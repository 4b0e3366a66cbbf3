//! No statement of the store names rows of tenants without saying whose: read from the source, so that a new one is seen.
//!
//! A statement is what one constant, macro or `format!` has of text, with constants put in for their names. It restricts a
//! table where `tenant_id = $n` stands for it in WHERE or ON, or `tenant_id` of another table that is restricted; an insert
//! where `tenant_id` is its first column. That the value is the right one is for the tests that run the statements.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot read the source should fail"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[path = "isolation/source.rs"]
mod source;
#[path = "isolation/statement.rs"]
mod statement;

use source::texts;
use statement::{Tables, faults};

/// Statements over all tenants: file, words of it, and why it may.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("domains.rs", "WHERE domain = $1 AND state IN", "asked at RCPT, before a tenant is known: the domain names it"),
    ("bounces.rs", "WHERE v.reverse_path = $1", "asked at RCPT, before a tenant is known: the reverse-path names it"),
    ("bounces.rs", "WHERE b.host = $1", "asked at RCPT, before a tenant is known: the host names it"),
    (
        "approvals/overdue.rs",
        "WHERE state = 'pending' AND expires_at <= $1",
        "the worker ends late questions of all tenants; each row says whose it is",
    ),
    (
        "approvals/overdue.rs",
        "WHERE state = 'pending' AND escalate_at <= $1",
        "the worker escalates questions of all tenants; each row says whose it is",
    ),
    ("drafts/waiting.rs", "SELECT EXISTS (SELECT 1 FROM drafts", "whether the worker has anything to do"),
    (
        "drafts/waiting.rs",
        "UPDATE drafts SET held_until = $2 WHERE held_until <= $1",
        "the worker looks at drafts of all tenants; each row says whose it is",
    ),
    ("drafts/waiting.rs", "UPDATE drafts SET held_until = $1", "the switch of the whole gateway was of all tenants"),
    ("directory.rs", "FROM tenants ORDER BY tenant_id", "the operator's list of tenants"),
    ("directory.rs", "WHERE m.address_key = $1", "asked at RCPT, before a tenant is known: the address names it"),
    ("routes.rs", "WHERE r.token_hash = $1", "asked at RCPT, before a tenant is known: the token names it"),
    (
        "routes.rs",
        "FROM routes WHERE peers LIKE",
        "asked before a handshake, when nobody is known; tells one fact of all",
    ),
    (
        "marks.rs",
        "FROM held_copies WHERE state = 'confirmed'",
        "the worker decides for all tenants; each row says whose it is",
    ),
    (
        "redecisions.rs",
        "FROM redecisions WHERE due_at",
        "the worker decides for all tenants; each row says whose it is",
    ),
    (
        "erasures.rs",
        "FROM body_erasures AS e WHERE e.erased_at IS NULL",
        "the worker erases for all tenants; each row says whose it is",
    ),
    ("dialect.rs", "FROM transmissions WHERE state IN", "senders serve all tenants; each row says whose it is"),
    (
        "releases/lost.rs",
        "WHERE t.state = 'in_flight' AND t.lease_until <= $1",
        "what lost senders held, whoever's it is",
    ),
    ("notices.rs", "SELECT EXISTS (SELECT 1 FROM notices", "whether the worker has anything to do"),
    (
        "notices.rs",
        "UPDATE notices SET state = 'in_flight'",
        "the sender serves all tenants; each row says whose it is",
    ),
    ("notices.rs", "DELETE FROM notices WHERE created_at < $1", "what is old is forgotten, whoever's it is"),
    ("notices/outcome.rs", "SELECT EXISTS (SELECT 1 FROM notices", "whether the worker has anything to do"),
    (
        "notices/outcome.rs",
        "WHERE state = 'in_flight' AND lease_until <= $1",
        "what lost senders held, whoever's it is",
    ),
    ("keys.rs", "FROM api_keys WHERE hash = $1", "asked of every call: the key names its tenant"),
    (
        "accounts.rs",
        "WHERE t.name = $1 AND u.email_key = $2",
        "asked of who signs in: name and address name the tenant",
    ),
    ("accounts.rs", "FROM tenants WHERE tenant_id <> $1", "the name of the only tenant, for who signs in without one"),
    (
        "accounts.rs",
        "SELECT EXISTS (SELECT 1 FROM users)",
        "whether the installation was set up; tells one fact of all",
    ),
    (
        "accounts/setup.rs",
        "SELECT tenant_id FROM tenants WHERE name = $1",
        "the operator sets up the tenant of this name",
    ),
    ("accounts/sign_ins.rs", "WHERE s.token_hash = $1", "asked of every request: the token names its tenant"),
    (
        "issuers.rs",
        "WHERE a.approval_id = $1 AND i.url = $2",
        "asked of who shows a token: the question and its tenant's issuer name the tenant",
    ),
    (
        "accounts/invitations.rs",
        "FROM invitations WHERE (token_hash = $1 OR mail_token_hash = $1)",
        "asked of who follows a link: the token names its tenant",
    ),
    ("deliveries.rs", "SELECT COUNT(*), MIN(next_attempt_at) FROM deliveries", "a gauge of the whole installation"),
    ("deliveries/claim.rs", "WHERE d.state = 'in_flight' AND d.lease_owner = $1", "what this worker has just claimed"),
    ("dialect.rs", "AS tenant_place", "the worker serves all tenants, in turn"),
    ("dialect.rs", "SELECT FROM deliveries AS w", "part of the line above: an endpoint's own, by its tenant"),
    ("dialect.rs", "AS d ON d.tenant_id = e.tenant_id AND d.delivery_id IN (", "the same, for SQLite"),
    (
        "dialect.rs",
        "UPDATE deliveries SET state = 'in_flight'",
        "takes the rows that the line above chose, by whole key",
    ),
    ("dialect.rs", "FOR UPDATE OF d SKIP LOCKED", "the same, locked"),
    ("dialect.rs", "SELECT EXISTS ( SELECT 1 FROM webhook_endpoints AS e", "whether the worker has anything to do"),
    ("dialect.rs", "AND lease_until <= $1", "leases that ran out, whoever's"),
    ("dialect.rs", "UPDATE deliveries SET lease_owner = NULL", "gives the rows of the line above back, by whole key"),
    ("spool.rs", "FROM spool_queue AS q WHERE q.lane = l.lane", "a lane holds mail of many tenants"),
    (
        "spool.rs",
        "WHERE q.lane = $1 ORDER BY q.message_id",
        "a lane holds mail of many tenants; each row says whose it is",
    ),
    ("spool.rs", "FROM spool_queue WHERE message_id > $1", "the operator's list of what waits"),
    (
        "spool.rs",
        "UPDATE spool_queue SET lane = $1",
        "within a lane that is leased, by the id of a message, which is unique",
    ),
    ("spool.rs", "DELETE FROM spool_queue WHERE lane = $1", "the same"),
];

#[test]
fn every_statement_says_whose_rows_it_means() {
    let tables = tables();
    let mut used = BTreeSet::new();
    let mut found = Vec::new();
    let mut count = 0;
    for (file, text) in sources() {
        for statement in texts(&text) {
            count += usize::from(statement::is_sql(&statement));
            let faults = faults(&statement, &tables);
            if faults.is_empty() {
                continue;
            }
            let allowed = ALLOWED.iter().position(|(at, words, _)| *at == file && statement.contains(words));
            match allowed {
                Some(place) => drop(used.insert(place)),
                None => found.extend(faults.iter().map(|fault| format!("{file}: {fault}: {statement}"))),
            }
        }
    }
    assert!(count > 90, "only {count} statements were found: the store is written in another way now");
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    let unused: Vec<_> = (0..ALLOWED.len()).filter(|place| !used.contains(place)).map(|at| ALLOWED[at]).collect();
    assert!(unused.is_empty(), "no statement needs {unused:?} any more");
}

/// Tables with rows of tenants.
fn tables() -> Tables {
    let folder = root().join("migrations/sqlite");
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        text.push_str(&fs::read_to_string(entry.unwrap().path()).unwrap());
    }
    let tables: Tables = text
        .split("CREATE TABLE ")
        .skip(1)
        .filter(|table| table.split(';').next().unwrap().contains(" tenant_id "))
        .map(|table| table.split_whitespace().next().unwrap().to_owned())
        .collect();
    assert!(tables.len() > 20 && tables.contains("tenants") && !tables.contains("spool_lanes"), "{tables:?}");
    tables
}

/// Files of the store by their path below it, without tests.
fn sources() -> BTreeMap<String, String> {
    let home = root().join("src/store");
    let (mut folders, mut files) = (vec![home.clone()], vec![root().join("src/store.rs")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true if path.ends_with("tests") => {}
                true => folders.push(path),
                false => files.push(path),
            }
        }
    }
    let name = |path: &PathBuf| path.strip_prefix(&home).unwrap_or(path).to_str().unwrap().to_owned();
    files
        .iter()
        .filter(|path| !path.ends_with("tests.rs"))
        .map(|path| (name(path), fs::read_to_string(path).unwrap()))
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
