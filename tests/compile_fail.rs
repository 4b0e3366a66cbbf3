//! What must not compile does not compile, with the error that it should have.
//!
//! Each file in `tests/ui` is compiled against this crate's library as it was built for the tests. Its first line names
//! the one error code that it must give (`//~ E0308`), or says `//~ allowed`: the control, with the same imports and the
//! legal use. A library is only believed when the control compiles against it.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by stopping")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

#[test]
fn what_governance_forbids_does_not_compile() {
    let files = ui_files();
    let control: Vec<_> = files.iter().filter(|(_, expected)| expected.is_empty()).map(|(file, _)| file).collect();
    assert_eq!(control, [&ui().join("allowed.rs")], "one control");
    let library = library(control.first().unwrap());
    let mut faults = Vec::new();
    for (file, expected) in &files {
        let found = compile(file, &library);
        if found != *expected {
            faults.push(format!("{}: expected {expected:?}, found {found:?}", file.display()));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_way_around_the_gate_has_its_file() {
    let codes: BTreeSet<String> = ui_files().into_iter().flat_map(|(_, expected)| expected).collect();
    for code in ["E0308", "E0451", "E0382", "E0616"] {
        assert!(codes.contains(code), "no file in tests/ui shows {code}");
    }
}

#[test]
fn a_wrong_expectation_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.rs");
    std::fs::write(&file, "pub fn wrong() -> u8 { \"text\" }\n").unwrap();
    let library = library(&ui().join("allowed.rs"));
    assert_eq!(compile(&file, &library), BTreeSet::from(["E0308".to_owned()]));
}

fn ui() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui")
}

/// Every file with the codes that its first line expects.
fn ui_files() -> Vec<(PathBuf, BTreeSet<String>)> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(ui()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "rs"));
    files.sort();
    let read = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).unwrap();
        let first = text.lines().next().and_then(|line| line.strip_prefix("//~ "));
        let first = first.unwrap_or_else(|| panic!("{} begins with no `//~ E….`", file.display()));
        let expected = if first == "allowed" { BTreeSet::new() } else { BTreeSet::from([first.to_owned()]) };
        (file, expected)
    };
    files.into_iter().map(read).collect()
}

/// The newest library of this crate against which the control compiles: older builds lie beside it.
fn library(control: &Path) -> PathBuf {
    let mut found: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(dependencies())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("libconnex-") && name.ends_with(".rlib")
        })
        .map(|entry| (entry.metadata().unwrap().modified().unwrap(), entry.path()))
        .collect();
    found.sort();
    let mut tried = Vec::new();
    for (_, library) in found.into_iter().rev() {
        let errors = compile(control, &library);
        if errors.is_empty() {
            return library;
        }
        tried.push(format!("{}: {errors:?}", library.display()));
    }
    panic!("the control compiles against no library:\n{}", tried.join("\n"));
}

/// Where cargo put this test, the library and all that it needs.
fn dependencies() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// Compiles one file; the codes of its errors, where one without a code is given as its text.
fn compile(file: &Path, library: &Path) -> BTreeSet<String> {
    let scratch = tempfile::tempdir().unwrap();
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--edition", "2024", "--crate-type", "lib", "--emit=metadata", "--error-format=json"])
        .arg("-L")
        .arg(format!("dependency={}", dependencies().display()))
        .arg("--extern")
        .arg(format!("connex={}", library.display()))
        .arg("--out-dir")
        .arg(scratch.path())
        .arg(file)
        .output()
        .expect("rustc runs");
    let text = String::from_utf8_lossy(&output.stderr);
    let errors: BTreeSet<String> = text.lines().filter_map(error_code).collect();
    assert_eq!(output.status.success(), errors.is_empty(), "{}: {text}", file.display());
    errors
}

/// The code of one diagnostic, when it is an error.
fn error_code(line: &str) -> Option<String> {
    let diagnostic: serde_json::Value = serde_json::from_str(line).ok()?;
    let message = diagnostic.get("message")?.as_str()?;
    if diagnostic.get("level")?.as_str()? != "error" || message.starts_with("aborting due to") {
        return None;
    }
    let code = diagnostic.pointer("/code/code").and_then(serde_json::Value::as_str);
    Some(code.unwrap_or(message).to_owned())
}
