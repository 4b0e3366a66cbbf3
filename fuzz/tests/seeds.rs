//! Every fuzz target is built, starts, and takes the mail of the test corpus, each message once, without a finding.
//!
//! This is no fuzzing (`tests/fuzz` is): it shows that the targets go on building and that what they call holds on real mail.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by stopping")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs, by the names of their files in `fuzz_targets`.
const TARGETS: [(&str, &str); 11] = [
    ("authentication", env!("CARGO_BIN_EXE_authentication")),
    ("journal_report", env!("CARGO_BIN_EXE_journal_report")),
    ("mbox", env!("CARGO_BIN_EXE_mbox")),
    ("message", env!("CARGO_BIN_EXE_message")),
    ("milter_session", env!("CARGO_BIN_EXE_milter_session")),
    ("peer_certificate", env!("CARGO_BIN_EXE_peer_certificate")),
    ("provider", env!("CARGO_BIN_EXE_provider")),
    ("proxy_header", env!("CARGO_BIN_EXE_proxy_header")),
    ("smtp_reply", env!("CARGO_BIN_EXE_smtp_reply")),
    ("smtp_session", env!("CARGO_BIN_EXE_smtp_session")),
    ("submitted", env!("CARGO_BIN_EXE_submitted")),
];

#[test]
fn every_target_takes_the_mail_of_the_corpus() {
    let mut seeds = Vec::new();
    messages_below(&root().join("tests/corpus"), &mut seeds);
    assert!(seeds.len() > 20, "{} messages", seeds.len());
    for (name, program) in TARGETS {
        let folder = tempfile::tempdir().unwrap();
        let run = Command::new(program).args(&seeds).current_dir(folder.path()).output().unwrap();
        let told = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{name}: {told}");
        assert_eq!(told.matches("Executed ").count(), seeds.len(), "{name} did not take every message: {told}");
    }
}

#[test]
fn every_file_of_a_target_is_named_here() {
    let names = std::fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap();
    let mut files: Vec<String> =
        names.map(|entry| entry.unwrap().path().file_stem().expect("a file").to_string_lossy().into_owned()).collect();
    files.sort();
    assert_eq!(files, TARGETS.map(|(name, _)| name));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn messages_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            messages_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "eml") {
            found.push(path);
        }
    }
}
