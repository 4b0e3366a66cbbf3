//! Claims about the command line.

use std::io::Write;
use std::sync::{Arc, Mutex};

use clap::CommandFactory;

use super::*;

/// Every command with its words: those that can be run, and the groups above them.
fn all() -> Vec<(String, clap::Command)> {
    fn walk(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        let path = format!("{path} {}", command.get_name()).trim().to_owned();
        found.push((path.clone(), command.clone()));
        command.get_subcommands().for_each(|below| walk(below, &path, found));
    }
    let mut found = Vec::new();
    walk(&Cli::command(), "", &mut found);
    found
}

/// Commands that can be run.
fn leaves() -> Vec<(String, clap::Command)> {
    all().into_iter().filter(|(_, command)| !command.has_subcommands()).collect()
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
    assert!(leaves().len() >= 38, "{}", leaves().len());
}

#[test]
fn every_command_has_help_json_and_a_place() {
    for (path, command) in leaves() {
        let has = |name: &str| command.get_arguments().any(|argument| argument.get_id() == name);
        // These write for a shell or a pager, and look at no installation.
        if !["connex completions", "connex man"].contains(&path.as_str()) {
            assert!(has("json"), "{path} has no --json");
            let of_none = [
                "connex audit receipt verify",
                "connex bench bombs",
                "connex bench idle",
                "connex bench read",
                "connex bench verdicts",
                "connex inspect",
            ];
            let is_of_none = of_none.contains(&path.as_str());
            assert!(is_of_none || has("dir") || has("config"), "{path} has neither --dir nor --config");
        }
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{path}: {} has no help", argument.get_id());
        }
    }
}

#[test]
fn every_help_ends_with_examples_that_parse_as_the_command_that_shows_them() {
    for (path, mut command) in all() {
        assert!(command.get_about().is_some(), "{path} has no sentence");
        let end = command.get_after_help().unwrap_or_else(|| panic!("{path} has no example")).to_string();
        assert!(command.get_after_long_help().is_none(), "{path}: --help would show something else than -h");
        assert!(command.render_long_help().to_string().trim_end().ends_with(end.trim_end()), "{path}: not at the end");
        let examples: Vec<&str> = end.lines().filter_map(|line| line.strip_prefix("Example: ")).collect();
        assert!(!examples.is_empty(), "{path} has no example");
        for example in examples {
            let words = example.split(" > ").next().unwrap();
            assert!(words.starts_with(&path), "{path}: {example}");
            if let Err(error) = Cli::try_parse_from(words.split_whitespace()) {
                panic!("{example}: {error}");
            }
        }
    }
}

#[tokio::test]
async fn completions_and_manual_pages_know_every_command() {
    let run_words = async |words: &[&str]| {
        let answer = Sink::default();
        let mut out = Output::to(false, Box::new(answer.clone()), Box::new(Sink::default()));
        run(Cli::try_parse_from(words).unwrap().command, &mut out).await.unwrap();
        answer.text()
    };
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run_words(&["connex", "completions", shell]).await;
        for (path, command) in all() {
            assert!(script.contains(command.get_name()), "{shell} does not know {path}");
        }
    }
    assert!(run_words(&["connex", "man"]).await.contains(".TH connex 1"));
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man/man1");
    run_words(&["connex", "man", "--dir", pages.to_str().unwrap()]).await;
    for (path, command) in all() {
        let page = std::fs::read_to_string(pages.join(format!("{}.1", path.replace(' ', "-")))).unwrap();
        let example = command.get_after_help().unwrap().to_string().replace('-', "\\-");
        assert!(page.contains(example.lines().next().unwrap()), "{path}: {page}");
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
