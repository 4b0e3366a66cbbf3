//! Documents and code tell the same: standards, commands, configuration keys, metrics, changes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read the documents should fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use connex::cli::{Cli, Exit};
use connex::config::Loader;
use connex::telemetry::metric;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

/// Every file of the source: path, text.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&root().join("src"), "rs", &mut found);
    found.into_iter().map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap())).collect()
}

/// README, CONTRIBUTING and everything in docs: path, text.
fn documents() -> Vec<(String, String)> {
    let mut found: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md"].iter().map(|name| root().join(name)).collect();
    files(&root().join("docs"), "md", &mut found);
    found.into_iter().map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap())).collect()
}

/// Numbers behind `RFC `.
fn cited(text: &str) -> BTreeSet<u32> {
    let number = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok();
    text.split("RFC ").skip(1).filter_map(number).collect()
}

/// Rows of a table in a document: the cells, without the marks of code.
fn rows(text: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().replace('`', "")).collect();
    text.lines().filter(|line| line.starts_with('|') && !line.starts_with("|--")).map(cells).collect()
}

/// Number and status of each row of docs/rfc.md.
fn standards() -> BTreeMap<u32, String> {
    let text = read("docs/rfc.md");
    let row = |cells: Vec<String>| Some((cells.first()?.parse().ok()?, cells.get(2)?.clone()));
    let found: Vec<(u32, String)> = rows(&text).into_iter().filter_map(row).collect();
    let by_number: BTreeMap<u32, String> = found.iter().cloned().collect();
    assert_eq!(by_number.len(), found.len(), "an RFC has two rows in docs/rfc.md");
    by_number
}

#[test]
fn every_standard_that_the_source_cites_has_a_row() {
    let known = standards();
    let sources = sources();
    let citations = sources.iter().flat_map(|(path, text)| cited(text).into_iter().map(move |number| (number, path)));
    let unknown: Vec<_> = citations.filter(|(number, _)| !known.contains_key(number)).collect();
    assert!(unknown.is_empty(), "no row in docs/rfc.md for {unknown:#?}");
}

#[test]
fn every_standard_that_is_followed_is_cited_where_it_is() {
    let cited: BTreeSet<u32> = sources().iter().flat_map(|(_, text)| cited(text)).collect();
    for (number, status) in standards() {
        assert!(["yes", "partial", "no"].contains(&&*status), "RFC {number}: `{status}` is not yes, partial or no");
        assert!(
            status != "yes" || cited.contains(&number),
            "RFC {number} is `yes` in docs/rfc.md, but nothing cites it"
        );
    }
}

/// Lines of shell in a document that run `connex`, directly or through cargo; without prompt, comment and redirection.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut is_shell = false;
    let joined = text.replace("\\\n", " ");
    for line in joined.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            is_shell = !is_shell && matches!(language, "sh" | "console" | "bash");
            continue;
        }
        for inline in if is_shell { vec![] } else { line.split('`').skip(1).step_by(2).collect() } {
            // A bare name in running text is no command line.
            if inline.starts_with("connex ") && !inline.contains('…') {
                found.extend(command(inline));
            }
        }
        if is_shell {
            found.extend(command(line));
        }
    }
    found
}

fn command(line: &str) -> Option<Vec<String>> {
    let words = shell_words(line);
    let is_prefix = |word: &&String| ["$", "sudo"].contains(&word.as_str()) || is_assignment(word);
    let words: Vec<&str> = words.iter().skip_while(is_prefix).map(String::as_str).collect();
    let arguments = match words.as_slice() {
        ["cargo", "run", rest @ ..] => {
            let dashes = rest.iter().position(|word| *word == "--")?;
            rest.get(dashes + 1..)?
        }
        [program, rest @ ..] if *program == "connex" || program.ends_with("/connex") => rest,
        _ => return None,
    };
    Some(std::iter::once("connex").chain(arguments.iter().copied()).map(str::to_owned).collect())
}

/// Words of the first command of a line, as a shell sees them: quotes, comment, and what ends a command.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, ';' | '|' | '>' | '&' | '<') => break,
            (None, '#') if word.is_none() => break,
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

#[test]
fn every_command_in_the_documents_parses() {
    let mut count = 0;
    for (path, text) in documents() {
        for words in commands(&text) {
            count += 1;
            if let Err(error) = Cli::try_parse_from(&words) {
                let is_help = matches!(
                    error.kind(),
                    clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
                );
                assert!(is_help, "{path}: `{}`\n{error}", words.join(" "));
            }
        }
    }
    assert!(count >= 10, "only {count} commands found");
}

#[test]
fn commands_are_found_in_shell_blocks_and_in_running_text() {
    let text = "`connex tail`, `connex`, `connex …`\n```sh\n$ FOO=1 connex send 'a b' \\\n  --to b > x # y\ncargo run --release -- dev\n\
                ls\n```\n```rust\nconnex none\n```\n";
    let want = [vec!["connex", "tail"], vec!["connex", "send", "a b", "--to", "b"], vec!["connex", "dev"]];
    assert_eq!(commands(text), want);
}

#[test]
fn every_configuration_key_is_documented_and_every_documented_key_exists() {
    let config = Loader::new().load().unwrap();
    let keys: BTreeSet<String> = config.layers.iter().map(|entry| entry.key.clone()).collect();
    let documented = rows(&read("docs/configuration.md"));
    let documented: BTreeMap<&str, &str> = documented
        .iter()
        .filter_map(|row| Some((row.first()?.as_str(), row.get(1)?.as_str())))
        .filter(|(key, _)| key.contains('.') && !key.contains(' '))
        .collect();
    for key in documented.keys() {
        assert!(keys.contains(*key), "docs/configuration.md: `{key}` is no key of config/connex.toml");
    }
    for entry in config.layers.iter() {
        let default = documented.get(entry.key.as_str());
        let default = default.unwrap_or_else(|| panic!("`{}` has no row in docs/configuration.md", entry.key));
        assert_eq!(*default, entry.value.to_string(), "default of `{}` in docs/configuration.md", entry.key);
    }
}

#[test]
fn every_exit_code_is_documented() {
    let text = read("docs/operating.md");
    let rows = rows(&text);
    for exit in [Exit::Done, Exit::Failed, Exit::Usage, Exit::NotFound, Exit::Configuration, Exit::Unreachable] {
        let code = (exit as u8).to_string();
        let row = rows.iter().find(|row| row.first() == Some(&code));
        let row = row.unwrap_or_else(|| panic!("exit code {code} has no row in docs/operating.md"));
        assert_eq!(row.get(1).map(String::as_str), Some(exit.word()));
    }
}

#[test]
fn every_metric_that_is_counted_is_listed_and_documented() {
    let listed: BTreeSet<&str> = metric::ALL.iter().map(|(name, _, _)| *name).collect();
    let operating = read("docs/operating.md");
    for name in &listed {
        assert!(operating.contains(&format!("`{name}`")), "{name} is not in docs/operating.md");
    }
    let sources = sources();
    let mut unlisted = BTreeSet::new();
    for (path, text) in &sources {
        let calls = ["counter!(", "gauge!(", "histogram!("].iter().flat_map(|call| text.split(call).skip(1));
        let literal = |rest: &str| Some(rest.trim_start().strip_prefix('"')?.split('"').next()?.to_owned());
        let strange = calls.filter_map(literal).filter(|name| !listed.contains(name.as_str()));
        unlisted.extend(strange.map(|name| format!("{path}: metric `{name}` is not in src/telemetry/metric.rs")));
    }
    assert!(unlisted.is_empty(), "{unlisted:#?}");
    let elsewhere: String =
        sources.into_iter().filter(|(path, _)| !path.contains("telemetry")).map(|(_, text)| text).collect();
    for (constant, name) in constants(&read("src/telemetry/metric.rs")) {
        let is_counted =
            elsewhere.contains(&format!("\"{name}\"")) || elsewhere.contains(&format!("metric::{constant}"));
        assert!(is_counted, "{name} is in src/telemetry/metric.rs, but nothing counts it");
    }
}

/// Name and value of each `pub const NAME: &str = "value";`.
fn constants(text: &str) -> Vec<(String, String)> {
    let one = |line: &str| {
        let (name, value) = line.strip_prefix("pub const ")?.split_once(": &str = \"")?;
        Some((name.to_owned(), value.strip_suffix("\";")?.to_owned()))
    };
    text.lines().filter_map(one).collect()
}

#[test]
fn the_changelog_says_what_comes_next() {
    assert!(read("CHANGELOG.md").contains("\n## Unreleased\n"));
}

#[test]
fn the_documents_that_everyone_looks_for_are_there() {
    for path in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "certs/README.md", "LICENSE-MIT"] {
        assert!(read(path).lines().count() > 5, "{path} says nothing");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let more = ["ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md", "certs/README.md"];
    let more = more.iter().map(|path| (root().join(path).display().to_string(), read(path)));
    for (path, text) in documents().into_iter().chain(more) {
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', '#']).next().unwrap();
            let is_file = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
            let folder = Path::new(&path).parent().unwrap();
            assert!(!is_file || folder.join(target).exists(), "{path}: no such file: {target}");
        }
    }
}
