//! `connex policy`: the settings that the gate obeys: shown, made, and tried on what was asked before.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::Table;
use super::{CliError, JsonArgs, Output, TenantArgs};
use crate::config::units::{DURATION_FORM, parse_duration};
use crate::service::audit::Who;
use crate::service::policies::{self, Policy, PolicyReplay, PolicyRuling, PolicyVersion, VERDICTS_KEPT};

/// `connex policy …`
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Show the policy, as a file that can be set.
    #[command(after_help = "Example: connex policy show --tenant acme > policy.toml")]
    Show(ShowArgs),
    /// Make a new version of it from a file; what is left out has its default.
    #[command(after_help = "Example: connex policy set policy.toml --tenant acme")]
    Set(SetArgs),
    /// Show its versions, newest first.
    #[command(after_help = "Example: connex policy history --tenant acme")]
    History(TenantArgs),
    /// Tell what another policy would have said to what was asked before. Nothing is changed.
    #[command(after_help = "Example: connex policy test --since 30d --policy new.toml --tenant acme")]
    Test(TestArgs),
}

/// Arguments of `connex policy show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// An older version, as `history` names it.
    #[arg(long, value_name = "VERSION")]
    pub revision: Option<String>,
    /// Whose, and how to answer.
    #[command(flatten)]
    pub whose: TenantArgs,
}

/// Arguments of `connex policy set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// The policy, as TOML.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Whose, and how to answer.
    #[command(flatten)]
    pub whose: TenantArgs,
}

/// Arguments of `connex policy test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The other policy, as TOML.
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,
    /// How far back; verdicts are kept for 90 days.
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub since: String,
    /// Whose, and how to answer.
    #[command(flatten)]
    pub whose: TenantArgs,
}

impl PolicyCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Show(args) => &args.whose.json,
            Self::Set(args) => &args.whose.json,
            Self::History(args) => &args.json,
            Self::Test(args) => &args.whose.json,
        }
    }
}

/// Octets of a file that are read.
const LARGEST: u64 = 4 << 20;
/// Versions that are looked at.
const VERSIONS: u32 = 10_000;

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: PolicyCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        PolicyCommand::Show(args) => show(args, out).await,
        PolicyCommand::Set(args) => set(args, out).await,
        PolicyCommand::History(args) => history(args, out).await,
        PolicyCommand::Test(args) => test(args, out).await,
    }
}

async fn show(args: ShowArgs, out: &mut Output) -> Result<(), CliError> {
    let (_instance, tenant) = args.whose.open().await?;
    let policy = match &args.revision {
        None => tenant.policy().await?,
        Some(wanted) => {
            let all = tenant.policy_history(VERSIONS).await?;
            let found = all.into_iter().map(|one| one.policy).find(|policy| policy.version == *wanted);
            found.ok_or_else(|| CliError::NotFound(format!("version `{wanted}` of this tenant's policy")))?
        }
    };
    let text = as_toml(&policy)?;
    out.answer(&policy, |out| text.lines().try_for_each(|line| out.line(line)))
}

async fn set(args: SetArgs, out: &mut Output) -> Result<(), CliError> {
    let policy = read(&args.file)?;
    let (_instance, tenant) = args.whose.open().await?;
    let version = tenant.set_policy(policy, Who::Operator).await?;
    out.answer(&json!({ "version": version }), |out| {
        out.line(&format!("The gate obeys {version} from now on; what waits is asked about again before it is sent"))
    })
}

async fn history(args: TenantArgs, out: &mut Output) -> Result<(), CliError> {
    let (_instance, tenant) = args.open().await?;
    let mut table = Table::new(["VERSION", "MADE", "BY"]);
    let mut all = Vec::new();
    for PolicyVersion { policy, made_at, made_by } in tenant.policy_history(VERSIONS).await? {
        table.row([policy.version.clone(), made_at.to_string(), made_by.clone()]);
        all.push(
            json!({ "version": policy.version, "madeAt": made_at.to_string(), "madeBy": made_by, "policy": policy }),
        );
    }
    out.answer(&all, |out| out.table(&table))
}

async fn test(args: TestArgs, out: &mut Output) -> Result<(), CliError> {
    let since =
        parse_duration(&args.since).ok_or_else(|| CliError::Usage(format!("--since must be {DURATION_FORM}")))?;
    if since > VERDICTS_KEPT {
        return Err(CliError::Usage("--since: verdicts are kept for 90 days".to_owned()));
    }
    let policy = read(&args.policy)?;
    let (instance, tenant) = args.whose.open().await?;
    let since = policies::before(instance.store.clock().now(), since);
    let replay = policies::replay(&tenant, &policy, since, None).await;
    let replay = replay.map_err(|error| CliError::Failed(anyhow::Error::new(error)))?;
    out.answer(&replay, |out| tell(&replay, out))
}

fn tell(replay: &PolicyReplay, out: &mut Output) -> Result<(), CliError> {
    let PolicyReplay { since, judged, skipped, changed, changes, differences, .. } = replay;
    out.line(&format!(
        "{judged} verdicts since {since}: {changed} would have been other ones, {skipped} cannot be told"
    ))?;
    for (change, count) in changes {
        out.line(&format!("  {change}: {count}"))?;
    }
    if differences.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["TIME", "DRAFT", "ON", "SAID", "WOULD HAVE SAID"]);
    let ruling = |ruling: &PolicyRuling| format!("{} {}", ruling.verdict, ruling.codes.join(",")).trim_end().to_owned();
    for one in differences {
        let (before, after) = (ruling(&one.before), ruling(&one.after));
        table.row([one.at.clone(), one.draft.clone(), one.occasion.clone(), before, after]);
    }
    out.table(&table)
}

/// A policy of a file, without a fault.
fn read(path: &Path) -> Result<Policy, CliError> {
    let wrong = |error: String| CliError::Usage(format!("{}: {}", path.display(), error.trim_end()));
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if size > LARGEST {
        return Err(wrong("is too large for a policy".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let policy: Policy = if is_json {
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?
    } else {
        toml::from_str(&text).map_err(|error| wrong(error.to_string()))?
    };
    checked(policy).map_err(wrong)
}

/// The policy, or all its faults, one on a line.
fn checked(policy: Policy) -> Result<Policy, String> {
    let faults = policies::faults_of(&policy);
    if faults.is_empty() {
        return Ok(policy);
    }
    let lines: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.pointer, fault.message)).collect();
    Err(lines.join("\n"))
}

fn as_toml(policy: &Policy) -> Result<String, CliError> {
    let mut value = serde_json::to_value(policy).map_err(anyhow::Error::new)?;
    rename(&mut value);
    let value = toml::Value::try_from(value).map_err(anyhow::Error::new)?;
    Ok(toml::to_string(&value).map_err(anyhow::Error::new)?)
}

/// Names as the configuration writes its own: `four_eyes`, and `[[scope]]` for one of the scopes.
fn rename(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, mut field) in std::mem::take(fields) {
                rename(&mut field);
                fields.insert(if name == "scopes" { "scope".to_owned() } else { snake(&name) }, field);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(rename),
        _ => {}
    }
}

fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
four_eyes = false
recipients = 3
approver = \"admin\"
risk_words = [\"project falcon\"]
time_zone = \"Europe/Berlin\"
quiet_hours = { from = \"20:00\", to = \"07:00\" }

[[scope]]
recipient_domain = \"bank.example\"
per_day = 5
automatic_templates = []
";

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn what_is_shown_can_be_set_again_as_it_is() {
        let (_folder, path) = file(FILE);
        let policy = read(&path).unwrap();
        assert_eq!((policy.recipients, policy.scopes.len(), policy.scopes[0].per_day), (3, 1, Some(5)));
        let text = as_toml(&policy).unwrap();
        assert!(text.contains("four_eyes = false") && text.contains("[[scope]]"), "{text}");
        let (_folder, path) = file(&text);
        assert_eq!(read(&path).unwrap(), policy);
        let (_folder, path) = file(&as_toml(&Policy::default()).unwrap());
        assert_eq!(read(&path).unwrap(), Policy::default());
    }

    #[test]
    fn a_fault_is_told_with_its_place() {
        let told = |text: &str| {
            let (_folder, path) = file(text);
            read(&path).unwrap_err().to_string()
        };
        assert!(
            told("recipients = 3\nfour_eye = true\n").contains("line 2"),
            "{}",
            told("recipients = 3\nfour_eye = true\n")
        );
        assert!(told("recipients = \"x\"").contains("line 1"));
        let many = told("recipients = 0\ntime_zone = \"Mars/Olympus\"\n[[scope]]\nrecipients = 1\n");
        for pointer in ["/recipients: ", "/timeZone: ", "/scopes/0: "] {
            assert!(many.contains(pointer), "{many}");
        }
    }
}
