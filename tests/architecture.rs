//! Rules of the house that the compiler does not hold: who may import whom, which crate stays where, sizes of files.
//!
//! The table below is the design. Changing it is a design decision: say so in the commit.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read the source should fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const VOCABULARY: &[&str] = &["ids", "clock", "reach", "mail", "contract", "keys", "event"];
const RULES: &[&str] = &["trust", "graph", "outcome", "decide", "governance"];
const RESOURCES: &[&str] = &["store", "blob", "dns", "seal"];
const EDGES: &[&str] = &["spool", "intake", "tls", "acme", "smtp", "milter", "mailauth", "webhook", "oidc", "outbound"];

/// Module, and what it may import.
fn table() -> Vec<(&'static str, Vec<&'static str>)> {
    let with = |groups: &[&[&'static str]]| groups.concat();
    vec![
        // Vocabulary: pure, but for the clock.
        ("ids", vec![]),
        ("clock", vec!["ids"]),
        ("reach", vec![]),
        ("mail", vec!["ids", "clock"]),
        ("contract", vec!["ids", "clock", "mail"]),
        ("keys", vec!["ids", "clock"]),
        ("event", vec!["ids", "clock", "mail", "contract"]),
        // Rules: pure.
        ("trust", with(&[VOCABULARY])),
        ("graph", with(&[VOCABULARY])),
        ("outcome", with(&[VOCABULARY])),
        ("decide", with(&[VOCABULARY, &["trust", "graph"]])),
        ("governance", with(&[VOCABULARY, &["trust"]])),
        // Resources and edges.
        ("store", with(&[VOCABULARY, RULES])),
        ("blob", with(&[VOCABULARY, RULES])),
        ("dns", vec!["clock"]),
        ("seal", vec!["clock"]),
        // Counts of connections, the same for every door that accepts them.
        ("connections", vec![]),
        // One of the two spools is rows of the store.
        ("spool", vec!["ids", "clock", "mail", "store", "seal"]),
        // Checks what the doors took in; what it finds is vocabulary (`mail::authentication`).
        ("mailauth", with(&[VOCABULARY, &["dns"]])),
        ("webhook", with(&[VOCABULARY, &["dns"]])),
        // Asks issuers by the rules of webhooks.
        ("oidc", with(&[VOCABULARY, &["webhook"]])),
        // Where every door ends.
        ("intake", with(&[VOCABULARY, &["spool"]])),
        // Certificates from an authority.
        ("acme", vec!["ids", "clock", "dns"]),
        // Handshakes, the same for every door that speaks TLS.
        ("tls", vec!["ids", "clock", "mail"]),
        ("smtp", with(&[VOCABULARY, &["spool", "intake", "mailauth", "connections", "tls"]])),
        // A door beside SMTP; it shares with it what every door has, and nothing else.
        ("milter", with(&[VOCABULARY, &["spool", "intake", "connections"]])),
        ("outbound", with(&[VOCABULARY, &["governance", "dns"]])),
        // Services and surfaces.
        ("service", with(&[VOCABULARY, RULES, RESOURCES, EDGES])),
        ("pipeline", with(&[VOCABULARY, RULES, RESOURCES, EDGES, &["service"]])),
        // Cookies and origins, the same for pages and the API.
        ("browser", vec!["service"]),
        ("http", with(&[VOCABULARY, &["service", "browser", "connections", "tls"]])),
        ("ws", with(&[VOCABULARY, &["service"]])),
        ("mcp", with(&[VOCABULARY, &["service"]])),
        ("ui", with(&[VOCABULARY, &["service", "browser"]])),
        // Root.
        // Checked settings are of the types that the edge itself checks with.
        ("config", vec!["ids", "clock", "mail", "webhook", "tls"]),
        ("telemetry", vec!["ids", "clock", "config"]),
        ("supervisor", vec!["ids", "clock", "telemetry"]),
        ("devcert", vec!["clock"]),
        ("app", with(&[VOCABULARY, RULES, RESOURCES, EDGES, ROOT, SURFACES, &["service", "pipeline", "connections"]])),
        // Commands of the local operator work on the data folder itself; they hold no rules.
        ("cli", with(&[VOCABULARY, RESOURCES, EDGES, ROOT, &["service", "pipeline", "app"]])),
        ("main", vec!["cli"]),
    ]
}

const ROOT: &[&str] = &["config", "telemetry", "supervisor", "devcert"];
const SURFACES: &[&str] = &["http", "ws", "mcp", "ui"];

/// Crate, and the modules that alone may name it.
const CRATES: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("hyper", &["http::serve"]),
    ("hyper_util", &["http::serve"]),
    ("axum", &["http", "ws", "ui", "mcp", "webhook::receiver"]),
    // Rendering tells what a reader of a draft would see; it needs the reader's parser, bytes in, words out.
    ("mail_parser", &["mail", "governance::rendering"]),
    ("mail_auth", &["mailauth"]),
    ("mail_builder", &["mail::compose"]),
    ("smtp_proto", &["smtp"]),
    ("hickory_resolver", &["dns"]),
    ("rcgen", &["devcert", "acme"]),
    ("instant_acme", &["acme"]),
    ("x509_parser", &["tls", "outbound::dane"]),
    // It makes keys, and signs nothing (RUSTSEC-2023-0071).
    ("rsa", &["outbound::keys"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("indicatif", &["cli"]),
    ("anyhow", &["cli", "app", "main"]),
    ("metrics_exporter_prometheus", &["telemetry"]),
    ("askama", &["ui"]),
    ("argon2", &["service::accounts"]),
];

/// Modules that take facts and return values: no async, no IO, no clock.
const PURE: &[&str] =
    &["ids", "reach", "mail", "contract", "keys", "event", "trust", "graph", "outcome", "decide", "governance"];
const IMPURE_WORDS: &[&str] = &["async", "await", "tokio", "std::fs", "std::env", "std::process", "SystemTime"];

/// Lines of a file, its tests apart.
const LONGEST_FILE: usize = 600;

#[test]
fn modules_import_only_what_the_table_allows() {
    report(sources().iter().flat_map(imports_against_table));
}

#[test]
fn crates_are_named_only_where_they_belong() {
    report(sources().iter().flat_map(crates_out_of_place));
}

#[test]
fn vocabulary_and_rules_are_pure() {
    report(sources().iter().flat_map(impurities));
}

#[test]
fn files_are_short_have_a_head_and_are_never_called_mod() {
    let mut faults = Vec::new();
    for source in sources() {
        let lines = length_without_tests(&source.text);
        if lines > LONGEST_FILE && !source.is_test {
            faults.push(format!("{}: {lines} lines, at most {LONGEST_FILE}", source.path));
        }
        if !source.text.starts_with("//! ") && !source.is_test {
            faults.push(format!("{}: does not begin with `//! ` and what it is for", source.path));
        }
        if source.path.ends_with("mod.rs") {
            faults.push(format!("{}: foo.rs beside foo/, never mod.rs", source.path));
        }
    }
    report(faults);
}

#[test]
fn every_module_is_in_the_table() {
    let known: BTreeSet<&str> = table().into_iter().map(|(module, _)| module).collect();
    let unknown =
        sources().into_iter().filter(|source| source.module.first().is_some_and(|top| !known.contains(&**top)));
    report(unknown.map(|source| format!("{}: its module is not in the table", source.path)));
}

fn report(faults: impl IntoIterator<Item = String>) {
    let faults: Vec<String> = faults.into_iter().collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// One file of the source.
struct Source {
    path: String,
    /// `src/smtp/session.rs` is `["smtp", "session"]`; the crate's root is empty.
    module: Vec<String>,
    text: String,
    /// Code of tests: it may name anything.
    is_test: bool,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let stem = path.trim_end_matches(".rs");
        let module: Vec<String> = match stem {
            "lib" => Vec::new(),
            _ => stem.split('/').map(str::to_owned).collect(),
        };
        let is_test = module.iter().any(|part| part == "tests");
        Self { path: path.to_owned(), module, text: text.to_owned(), is_test }
    }

    /// What is left without comments, strings and test modules.
    fn code(&self) -> String {
        if self.is_test { String::new() } else { without_tests(&without_comments_and_strings(&self.text)) }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 5, "the source is somewhere else");
    let read = |file: PathBuf| {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        Source::new(&path, &fs::read_to_string(&file).unwrap())
    };
    let mut sources: Vec<Source> = files.into_iter().map(read).collect();
    let tests: Vec<Vec<String>> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        source.is_test |= tests.iter().any(|module| source.module.starts_with(module));
    }
    sources
}

/// Modules that `source` declares for tests alone: `#[cfg(test)] mod fixture;`.
fn test_modules(source: &Source) -> Vec<Vec<String>> {
    let code = without_comments_and_strings(&source.text);
    let declared = code.split("#[cfg(test)]").skip(1).filter_map(|item| {
        let item = item.split(';').next()?;
        let (visibility, name) = item.split_once("mod ")?;
        let is_declaration = !name.contains('{') && visibility.split_whitespace().all(|word| word.starts_with("pub"));
        is_declaration.then(|| source.module.iter().cloned().chain([name.trim().to_owned()]).collect())
    });
    declared.collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

fn imports_against_table(source: &Source) -> Vec<String> {
    let Some(top) = source.module.first() else { return Vec::new() };
    let Some((_, allowed)) = table().into_iter().find(|(module, _)| module == top) else { return Vec::new() };
    let imported = imports(&source.code(), source.module.len());
    let forbidden = imported.into_iter().filter(|module| module != top && !allowed.contains(&&**module));
    forbidden.map(|module| format!("{}: must not import `{module}`", source.path)).collect()
}

fn crates_out_of_place(source: &Source) -> Vec<String> {
    let code = source.code();
    let path = source.module.join("::");
    let inside = |home: &&str| path == **home || path.strip_prefix(*home).is_some_and(|rest| rest.starts_with("::"));
    let misplaced = CRATES.iter().filter(|(name, homes)| names_crate(&code, name) && !homes.iter().any(&inside));
    misplaced.map(|(name, homes)| format!("{}: only {} may name `{name}`", source.path, homes.join(", "))).collect()
}

fn impurities(source: &Source) -> Vec<String> {
    if !source.module.first().is_some_and(|top| PURE.contains(&&**top)) {
        return Vec::new();
    }
    let code = source.code();
    let found = IMPURE_WORDS.iter().filter(|word| words(&code, word).next().is_some());
    found.map(|word| format!("{}: is of a pure layer, but says `{word}`", source.path)).collect()
}

/// Top-level modules that `code` names, by `crate::x`, `crate::{x, y::z}`, or enough `super::`.
fn imports(code: &str, depth: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for start in words(code, "crate") {
        let rest = code.get(start + "crate".len()..).unwrap().trim_start();
        match rest.strip_prefix("::") {
            Some(rest) => found.extend(heads(rest)),
            // `pub(crate)` names nothing; `use crate as x` would hide everything behind it.
            None if rest.starts_with("as ") => drop(found.insert("(the crate under another name)".to_owned())),
            None => {}
        }
    }
    for start in words(code, "super") {
        let before = code.get(..start).unwrap().trim_end();
        if before.ends_with("::") {
            continue;
        }
        let mut rest = code.get(start..).unwrap();
        let mut ups = 0;
        while let Some(behind) =
            rest.trim_start().strip_prefix("super").and_then(|rest| rest.trim_start().strip_prefix("::"))
        {
            ups += 1;
            rest = behind;
        }
        if ups >= depth {
            found.extend(heads(rest));
        }
    }
    found
}

/// First names of a use tree: `x::y` gives x, `{x, y::{z}}` gives x and y, `*` gives itself.
fn heads(tree: &str) -> Vec<String> {
    let tree = tree.trim_start();
    let Some(group) = tree.strip_prefix('{') else {
        return if tree.starts_with('*') { vec!["*".to_owned()] } else { name(tree).into_iter().collect() };
    };
    let mut found = Vec::new();
    let mut depth = 0;
    let mut part = String::new();
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => found.extend(heads(&std::mem::take(&mut part))),
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                part.push(c);
            }
        }
    }
    found.extend(heads(&part));
    found
}

fn name(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    // A macro, function or type at the root of the crate is no module.
    (!name.is_empty()).then_some(name)
}

fn names_crate(code: &str, name: &str) -> bool {
    words(code, name).any(|start| {
        let before = code.get(..start).unwrap().trim_end();
        let after = code.get(start + name.len()..).unwrap().trim_start();
        let is_path = after.starts_with("::") && !before.ends_with("::");
        let is_use = before.ends_with("use") || before.ends_with("extern crate");
        is_path || is_use
    })
}

/// Where `word` stands as a word of its own.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word).map(|(start, _)| start).filter(move |start| {
        let before = code.get(..*start).unwrap().chars().next_back();
        let after = code.get(start + word.len()..).unwrap().chars().next();
        !is_letter(before) && !is_letter(after)
    })
}

fn length_without_tests(text: &str) -> usize {
    text.split("\n#[cfg(test)]\nmod ").next().unwrap_or(text).lines().count()
}

/// Blanks out comments, and the content of strings and characters.
fn without_comments_and_strings(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut code = String::with_capacity(text.len());
    let mut index = 0;
    while index < chars.len() {
        let end = match at(index) {
            '/' if at(index + 1) == '/' => line_end(&chars, index),
            '/' if at(index + 1) == '*' => block_end(&chars, index),
            '"' => string_end(&chars, index),
            'r' if is_raw(&chars, index) => raw_end(&chars, index),
            // 'a' and '\n' are characters, 'a alone is a lifetime.
            '\'' if at(index + 1) == '\\' || at(index + 2) == '\'' => character_end(&chars, index),
            c => {
                code.push(c);
                index += 1;
                continue;
            }
        };
        code.push(' ');
        index = end;
    }
    code
}

fn line_end(chars: &[char], start: usize) -> usize {
    (start..chars.len()).find(|index| chars.get(*index) == Some(&'\n')).unwrap_or(chars.len())
}

fn block_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut index = start;
    while index < chars.len() {
        match (chars.get(index), chars.get(index + 1)) {
            (Some('/'), Some('*')) => depth += 1,
            (Some('*'), Some('/')) => depth -= 1,
            _ => {
                index += 1;
                continue;
            }
        }
        index += 2;
        if depth == 0 {
            break;
        }
    }
    index
}

fn string_end(chars: &[char], start: usize) -> usize {
    let mut index = start + 1;
    while index < chars.len() {
        match chars.get(index) {
            Some('\\') => index += 2,
            Some('"') => return index + 1,
            _ => index += 1,
        }
    }
    index
}

fn is_raw(chars: &[char], start: usize) -> bool {
    let before = start.checked_sub(1).and_then(|index| chars.get(index)).copied().unwrap_or(' ');
    let is_own_word = before == 'b' || !(before.is_alphanumeric() || before == '_');
    let marks = chars.iter().skip(start + 1).take_while(|c| **c == '#').count();
    is_own_word && chars.get(start + 1 + marks) == Some(&'"')
}

fn raw_end(chars: &[char], start: usize) -> usize {
    let marks = chars.iter().skip(start + 1).take_while(|c| **c == '#').count();
    let mut index = start + 2 + marks;
    while index < chars.len() {
        let closing = chars.iter().skip(index + 1).take(marks).filter(|c| **c == '#').count() == marks;
        if chars.get(index) == Some(&'"') && closing {
            return index + 1 + marks;
        }
        index += 1;
    }
    index
}

fn character_end(chars: &[char], start: usize) -> usize {
    let content = if chars.get(start + 1) == Some(&'\\') { start + 3 } else { start + 2 };
    (content..chars.len()).find(|index| chars.get(*index) == Some(&'\'')).map_or(chars.len(), |index| index + 1)
}

/// Takes out every item under `#[cfg(test)]`; strings are blanked already, so that braces count.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some((before, item)) = rest.split_once("#[cfg(test)]") {
        kept.push_str(before);
        let mut depth = 0;
        let end = item.char_indices().find(|(_, c)| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            depth == 0 && matches!(c, '}' | ';')
        });
        rest = end.map_or("", |(index, _)| item.get(index + 1..).unwrap());
    }
    kept + rest
}

#[path = "architecture/scanner.rs"]
mod scanner;
