//! `connex route privacy | hold`: which copies a route takes notice of, what it keeps, and what must stay.

use clap::{Args, ValueEnum};

use super::one;
use crate::app::route_desk;
use crate::cli::CliError;
use crate::cli::output::Output;
use crate::cli::place::OneArgs;
use crate::event::privacy::Visibility;
use crate::mail::retention::Keep;
use crate::mail::selection::CopyRule;
use crate::store::routes::RouteChange;

/// Arguments of `connex route privacy`.
#[derive(Debug, Args)]
pub struct PrivacyArgs {
    /// Which route.
    #[command(flatten)]
    pub one: OneArgs,
    /// Take notice of copies that this rule means and of no others, in place of the rules before; again for more:
    /// address:ADDRESS, domain:DOMAIN, group:ADDRESS, direction:inbound, direction:outbound, direction:internal, list,
    /// newsletter.
    #[arg(long, value_name = "RULE")]
    pub include: Vec<CopyRule>,
    /// Take no notice of copies that this rule means, whatever else holds, in place of the rules before; again for more.
    #[arg(long, value_name = "RULE")]
    pub exclude: Vec<CopyRule>,
    /// Drop the rules that include.
    #[arg(long, conflicts_with = "include")]
    pub include_all: bool,
    /// Drop the rules that exclude.
    #[arg(long, conflicts_with = "exclude")]
    pub exclude_none: bool,
    /// How much of its copies can be read once they were decided on, also of those that it has taken.
    #[arg(long, value_name = "WHAT", value_parser = ["none", "text", "raw"])]
    pub keep: Option<String>,
    /// For how many days after their arrival; 0: for ever.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=36_500))]
    pub keep_for: Option<u32>,
    /// Which keys see what it takes and has taken: the tenant's; those bound to its app (team); those bound to a mailbox of a
    /// participant (owners).
    #[arg(long, value_name = "WHOM", value_parser = ["tenant", "team", "owners"])]
    pub visible_to: Option<String>,
}

/// Arguments of `connex route hold`.
#[derive(Debug, Args)]
pub struct HoldArgs {
    /// Which route.
    #[command(flatten)]
    pub one: OneArgs,
    /// Whether all that it has taken must stay.
    #[arg(value_name = "ON", value_enum)]
    pub state: Switch,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Begin.
    On,
    /// End.
    Off,
}

/// Sets what was given, and shows what holds now.
pub(super) async fn privacy(args: PrivacyArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(&args.one).await?;
    let given = |rules: Vec<CopyRule>, is_dropped: bool| (is_dropped || !rules.is_empty()).then_some(rules);
    let change = RouteChange {
        include: given(args.include, args.include_all),
        exclude: given(args.exclude, args.exclude_none),
        keep: args.keep.map(|word| word.parse::<Keep>()).transpose().map_err(CliError::Usage)?,
        keep_days: args.keep_for.map(|days| (days > 0).then_some(days)),
        ..RouteChange::default()
    };
    let tenant = instance.store.for_tenant(row.tenant);
    let mut visible_to = row.visible_to;
    let row = route_desk(&instance).change(&tenant, &row, change).await?;
    if let Some(word) = &args.visible_to {
        visible_to = word.parse::<Visibility>().map_err(CliError::Usage)?;
        tenant.show_route_to(row.id, visible_to).await?;
    }
    let (selection, retention) = (&row.selection, row.retention);
    let answer = serde_json::json!({
        "id": row.id,
        "include": selection.include,
        "exclude": selection.exclude,
        "keep": retention.keep,
        "keepDays": retention.days,
        "legalHold": retention.legal_hold,
        "visibleTo": visible_to,
    });
    out.answer(&answer, |out| {
        let words = |rules: &[CopyRule]| rules.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let (include, exclude) = (words(&selection.include), words(&selection.exclude));
        out.line(&format!(
            "Route {} takes notice of {}",
            row.id,
            if include.is_empty() { "everything" } else { &include }
        ))?;
        out.line(&format!("and leaves out {}", if exclude.is_empty() { "nothing" } else { &exclude }))?;
        let time = retention.days.map_or_else(|| "for ever".to_owned(), |days| format!("for {days} days"));
        out.line(&format!("It keeps `{}`, {time}", retention.keep.as_str()))?;
        out.line(match visible_to {
            Visibility::Tenant => "All keys of the tenant see it that are not bound to something else",
            Visibility::Team => "Keys see it that are bound to its app, and no others",
            Visibility::Owners => "Keys see it that are bound to the mailbox of a participant, and no others",
        })?;
        if retention.legal_hold {
            out.line("It is on legal hold: until that ends, all that it has taken stays")?;
        }
        Ok(())
    })
}

/// Begins or ends the legal hold.
pub(super) async fn hold(args: HoldArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(&args.one).await?;
    let on = args.state == Switch::On;
    instance.store.for_tenant(row.tenant).hold_route(row.id, on).await?;
    out.answer(&serde_json::json!({ "id": row.id, "legalHold": on }), |out| {
        out.line(&match on {
            true => format!("Route {} is on legal hold: all that is there of its copies stays", row.id),
            false => format!("Route {} is on legal hold no more: what it does not keep goes", row.id),
        })
    })
}
