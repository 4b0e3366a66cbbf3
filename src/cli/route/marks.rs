//! `connex route learn | marks | confirm`: by what the copies of a shared network are told from a stranger's.

use clap::Args;

use super::one;
use crate::cli::CliError;
use crate::cli::output::Output;
use crate::cli::place::OneArgs;
use crate::mail::marks::Mark;
use crate::service::routes::forms::RouteMarks;
use crate::service::routes::{LONGEST_LEARNING, learn as learn_for};

/// Arguments of `connex route learn`.
#[derive(Debug, Args)]
pub struct LearnArgs {
    /// Which route.
    #[command(flatten)]
    pub one: OneArgs,
    /// How many hours, up to 72.
    #[arg(long, value_name = "HOURS", default_value_t = LONGEST_LEARNING, value_parser = clap::value_parser!(u64).range(1..=LONGEST_LEARNING))]
    pub hours: u64,
}

/// Arguments of `connex route confirm`.
#[derive(Debug, Args)]
pub struct ConfirmArgs {
    /// Which route.
    #[command(flatten)]
    pub one: OneArgs,
    /// Which of the sets that `connex route marks` shows; needed where there are several.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub set: Option<u64>,
}

/// Has the route learn.
pub(super) async fn learn(args: LearnArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(&args.one).await?;
    let until = learn_for(&instance.store.for_tenant(row.tenant), &row, args.hours, instance.clock.now()).await?;
    out.answer(&serde_json::json!({ "id": row.id, "learningUntil": until }), |out| {
        out.line(&format!(
            "Route {} learns until {until}: copies are held, and `connex route marks` shows theirs",
            row.id
        ))
    })
}

/// Shows the marks.
pub(super) async fn show(args: OneArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(&args).await?;
    let held = instance.store.for_tenant(row.tenant).held_marks(row.id).await?;
    let answer = RouteMarks::of(&row, &held);
    out.answer(&answer, |out| {
        match &row.marks {
            Some(marks) => out.line(&format!("confirmed: {}", words(marks)))?,
            None => out.line("confirmed: none")?,
        }
        for (set, one) in (1..).zip(&held) {
            out.line(&format!("{set}: {} held, {} to {}: {}", one.held, one.first_at, one.last_at, words(&one.marks)))?;
        }
        out.line("A set that is yours alone can be confirmed with `connex route confirm --set NUMBER`.")
    })
}

/// Pins a set of marks.
pub(super) async fn confirm(args: ConfirmArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(&args.one).await?;
    let tenant = instance.store.for_tenant(row.tenant);
    let held = tenant.held_marks(row.id).await?;
    let wanted = match args.set {
        Some(set) => usize::try_from(set).ok().and_then(|set| held.get(set.wrapping_sub(1))),
        None if held.len() > 1 => {
            return Err(CliError::Usage("several sets of marks are held; --set says which is yours".to_owned()));
        }
        None => held.first(),
    };
    let wanted =
        wanted.ok_or_else(|| CliError::NotFound("such a set of marks; `connex route marks` shows them".to_owned()))?;
    let count = tenant.confirm_marks(row.id, &wanted.marks).await?;
    let answer = serde_json::json!({ "id": row.id, "state": "active", "confirmed": wanted.marks, "released": count });
    out.answer(&answer, |out| {
        out.line(&format!(
            "Copies with {} are believed; {count} that are held are decided on now",
            words(&wanted.marks)
        ))
    })
}

fn words(marks: &[Mark]) -> String {
    let words: Vec<String> = marks.iter().map(ToString::to_string).collect();
    if words.is_empty() { "no marks".to_owned() } else { words.join(", ") }
}
