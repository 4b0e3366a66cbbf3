//! Claims about the command line.

use std::io::Write;
use std::sync::{Arc, Mutex};

use clap::CommandFactory;

use super::*;

/// Every command that can be run, with its words.
fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
    let path = format!("{path} {}", command.get_name()).trim().to_owned();
    let mut below = command.get_subcommands().filter(|below| below.get_name() != "help").peekable();
    if below.peek().is_none() {
        found.push((path, command.clone()));
    } else {
        below.for_each(|below| leaves(below, &path, found));
    }
}

fn all() -> Vec<(String, clap::Command)> {
    let mut found = Vec::new();
    leaves(&Cli::command(), "", &mut found);
    found
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
    assert!(all().len() >= 36, "{}", all().len());
}

#[test]
fn every_command_has_help_with_an_example_json_and_a_place() {
    for (path, mut command) in all() {
        let has = |name: &str| command.get_arguments().any(|argument| argument.get_id() == name);
        assert!(has("json"), "{path} has no --json");
        assert!(has("dir") || has("config"), "{path} has neither --dir nor --config");
        assert!(command.get_about().is_some(), "{path} has no sentence");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{path}: {} has no help", argument.get_id());
        }
        let help = command.render_long_help().to_string();
        assert!(help.contains("Example: connex "), "{path}: {help}");
    }
}

#[test]
fn every_example_parses_as_the_command_that_shows_it() {
    for (path, command) in all() {
        let help = command.get_after_help().unwrap().to_string();
        let example = help.split("Example: ").nth(1).unwrap().split(" > ").next().unwrap();
        assert!(example.starts_with(&path), "{path}: {example}");
        if let Err(error) = Cli::try_parse_from(example.split_whitespace()) {
            panic!("{example}: {error}");
        }
    }
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn check_config(arguments: &[&str]) -> (Exit, String, String) {
    let cli = Cli::try_parse_from(["connex", "check-config"].iter().chain(arguments)).unwrap();
    let (answer, notes) = (Sink::default(), Sink::default());
    let mut out = Output::to(cli.command.wants_json(), Box::new(answer.clone()), Box::new(notes.clone()));
    let Command::CheckConfig(args) = cli.command else { panic!("another command") };
    let exit = match check_config::run(&args, &mut out) {
        Ok(()) => Exit::Done,
        Err(error) => {
            let exit = error.exit();
            out.fail(&error);
            exit
        }
    };
    (exit, answer.text(), notes.text())
}

#[test]
fn check_config_shows_values_and_where_they_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("connex.toml");
    std::fs::write(&file, "[dns]\nattempts = 3\n").unwrap();
    let dir = folder.path().to_str().unwrap();
    let (exit, answer, notes) = check_config(&["--dir", dir]);
    assert_eq!((exit, notes.as_str()), (Exit::Done, ""));
    assert!(answer.contains(&format!("attempts = 3  # {}:2\n", file.display())), "{answer}");
    assert!(answer.contains(&format!("data_dir = \"{dir}\"  # --dir\n")), "{answer}");

    let (_, answer, _) = check_config(&["--dir", dir, "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["config"]["dns.attempts"]["value"], 3);
    assert_eq!(answer["config"]["dns.attempts"]["default"], 2);
}

#[test]
fn check_config_lists_every_fault_and_ends_with_its_own_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("connex.toml");
    std::fs::write(&file, "[dns]\nattempts = 0\n[log]\nformat = \"xml\"\n").unwrap();
    let (exit, answer, notes) = check_config(&["--config", file.to_str().unwrap()]);
    assert_eq!((exit, answer.as_str(), notes.lines().count()), (Exit::Configuration, "", 2));
    assert!(notes.starts_with(&format!("connex: {}:2: dns.attempts = 0: must be", file.display())), "{notes}");

    let (_, _, notes) = check_config(&["--config", file.to_str().unwrap(), "--json"]);
    let notes: serde_json::Value = serde_json::from_str(&notes).unwrap();
    assert_eq!((&notes["ok"], &notes["faults"][1]["key"]), (&false.into(), &"log.format".into()));
}

#[test]
fn exit_codes_are_what_the_documents_say() {
    let codes = [Exit::Done, Exit::Failed, Exit::Usage, Exit::NotFound, Exit::Configuration, Exit::Unreachable];
    assert_eq!(codes.map(|exit| exit as u8), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_status_map_needs_both_sides() {
    let parse = |map| Cli::try_parse_from(["connex", "app", "add", "--tenant", "t", "a", "--status-map", map]);
    let Command::App(app::AppCommand::Add(args)) = parse("needs_reply=Waiting = on us").unwrap().command else {
        panic!("another command")
    };
    assert_eq!(args.status_map, [("needs_reply".to_owned(), "Waiting = on us".to_owned())]);
    for map in ["needs_reply", "=Open", "needs_reply="] {
        assert!(parse(map).is_err(), "{map}");
    }
}
