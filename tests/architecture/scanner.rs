//! Claims about the scanner itself: what it must find, and what it must not.

use super::*;

fn found(path: &str, text: &str) -> Vec<String> {
    imports_against_table(&Source::new(path, text))
}

#[test]
fn a_forbidden_import_is_found_in_every_spelling() {
    for text in [
        "use crate::store::Store;",
        "use crate::{ids::EventId, store::{Store, Row}};",
        "use crate::{\n    mail::{address, envelope},\n    store,\n};",
        "fn f() { let s: crate::store::Store = crate :: store::open(); }",
        "pub(crate) use crate::store as hidden;",
        "macro_rules! m { () => { $crate::store::open() } }",
        "use super::super::store::Store;",
        "const LINK: &str = \"/*\"; use crate::store; // */",
        "fn f<'a>(x: &'a str) -> char { '\"' } use crate::store::Store; const C: char = '\"';",
        "const R: &str = r#\"\"#; use crate::store;",
    ] {
        assert_eq!(found("smtp/log.rs", text), ["smtp/log.rs: must not import `store`"], "{text}");
    }
    assert_eq!(found("smtp.rs", "use super::store::Store;"), ["smtp.rs: must not import `store`"]);
    assert_eq!(found("http/routes/trust.rs", "use crate::webhook::Url;").len(), 1);
    assert_eq!(found("ids.rs", "use crate::clock::Clock;").len(), 1);
}

#[test]
fn a_way_around_the_table_is_found() {
    assert_eq!(found("smtp.rs", "use crate::*;"), ["smtp.rs: must not import `*`"]);
    assert_eq!(found("smtp.rs", "use crate as root; fn f() { root::store::open() }").len(), 1);
}

#[test]
fn what_only_looks_like_an_import_is_left_alone() {
    for text in [
        "// use crate::store::Store;\n/* crate::store /* nested */ crate::store */",
        "//! See [`crate::store`].\n/// [`crate::store::Store`]\npub struct A;",
        "const TEXT: &str = \"crate::store \\\" crate::store\";",
        "const TEXT: &str = r##\"crate::store \"# crate::store\"##;",
        "#[cfg(test)]\nmod tests {\n use crate::store::Store;\n fn f() { let b = '{'; }\n}\n",
        "#[cfg(test)]\nuse crate::store::Store;\n",
        "use crate::mail::store; use super::store::Index; pub(crate) fn f() {}",
        "use crate::spool::store;",
    ] {
        assert!(found("smtp/log.rs", text).is_empty(), "{text}: {:?}", found("smtp/log.rs", text));
    }
    assert!(found("smtp/tests.rs", "use crate::store::Store;").is_empty());
}

#[test]
fn code_behind_a_test_module_is_still_read() {
    let text = "#[cfg(test)]\nmod tests { fn f() { if true {} } }\nuse crate::store::Store;\n";
    assert_eq!(found("smtp/log.rs", text).len(), 1);
}

#[test]
fn a_crate_out_of_place_is_found() {
    let found = |path: &str, text: &str| crates_out_of_place(&Source::new(path, text)).len();
    assert_eq!(found("pipeline/ingest.rs", "#[derive(sqlx::FromRow)]\nstruct Row;"), 1);
    assert_eq!(found("pipeline/ingest.rs", "use sqlx;"), 1);
    assert_eq!(found("webhook/deliver.rs", "use axum::Router;"), 1);
    assert_eq!(found("webhook/receiver.rs", "use axum::Router;"), 0);
    assert_eq!(found("smtp/session.rs", "use anyhow::Result;"), 1);
    assert_eq!(found("store/events.rs", "use sqlx::Row;"), 0);
    assert_eq!(found("storefront.rs", "use sqlx::Row;"), 1);
    assert_eq!(found("mail/message.rs", "fn sqlx() {} // sqlx::Row"), 0);
}

#[test]
fn an_impure_rule_is_found() {
    let found = |path: &str, text: &str| impurities(&Source::new(path, text)).len();
    assert_eq!(found("decide/classify.rs", "pub async fn f() {}"), 1);
    assert_eq!(found("governance/gate.rs", "fn f() { std::fs::read(\"x\"); }"), 1);
    assert_eq!(found("smtp/log.rs", "pub async fn f() {}"), 0);
    assert_eq!(found("decide/classify.rs", "/// Never async.\nfn asynchronous() {}"), 0);
}

#[test]
fn tests_at_the_end_of_a_file_do_not_count_as_its_length() {
    assert_eq!(length_without_tests("a\nb\n#[cfg(test)]\nmod tests {\n}\n"), 2);
}

#[test]
fn a_module_declared_for_tests_alone_is_a_test() {
    let found = |text: &str| test_modules(&Source::new("governance.rs", text));
    assert_eq!(found("mod gate;\n#[cfg(test)]\npub(crate) mod fixture;\nmod rules;"), [["governance", "fixture"]]);
    assert!(found("#[cfg(test)]\nmod tests { fn f(); }\nmod gate;\n#[cfg(test)]\nuse super::x;").is_empty());
    assert!(found("// #[cfg(test)]\nmod gate;").is_empty());
}
