//! `connex route rotate | pause | resume | retire`: steps in the life of a route.

use std::time::Duration;

use clap::Args;

use super::one;
use crate::app::route_desk;
use crate::cli::CliError;
use crate::cli::output::Output;
use crate::cli::place::OneArgs;
use crate::config::units::{DURATION_FORM, parse_duration};
use crate::service::routes::{LONGEST_TIME, observed_until};
use crate::store::routes::{RouteChange, RouteStep};

/// Arguments of `connex route rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// Which route.
    #[command(flatten)]
    pub one: OneArgs,
    /// How long the old address is still taken, up to 90d.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = up_to_90_days)]
    pub overlap: Duration,
}

/// Arguments of `connex route observe`.
#[derive(Debug, Args)]
pub struct ObserveArgs {
    /// Which route.
    #[command(flatten)]
    pub one: OneArgs,
    /// For how long from now on, up to 90d; 0s: from now on everything follows.
    #[arg(long = "for", value_name = "TIME", value_parser = up_to_90_days)]
    pub time: Duration,
}

pub(super) fn up_to_90_days(text: &str) -> Result<Duration, String> {
    let time = parse_duration(text).filter(|time| *time <= LONGEST_TIME);
    time.ok_or_else(|| format!("must be {DURATION_FORM}, up to 90d"))
}

/// Gives the route a new address.
pub(super) async fn rotate(args: RotateArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(&args.one).await?;
    let rotated = route_desk(&instance).rotate(&instance.store.for_tenant(row.tenant), &row, args.overlap).await?;
    let (address, old, until) = (rotated.address, rotated.former, rotated.former_accepted_until);
    let answer = serde_json::json!({ "id": row.id, "address": address, "former": old, "formerAcceptedUntil": until });
    out.answer(&answer, |out| {
        out.line(&format!("Route {} takes copies at {address}", row.id))?;
        out.line(&format!("{old} is taken until {until}, put off (450) for three days more, and then unknown"))?;
        out.line("Whoever knows the address can send to it: treat it as a secret.")
    })
}

/// Sets until when the route is observed.
pub(super) async fn observe(args: ObserveArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(&args.one).await?;
    let until = observed_until(args.time, instance.clock.now())?;
    let change = RouteChange { observe_until: Some(until), ..RouteChange::default() };
    route_desk(&instance).change(&instance.store.for_tenant(row.tenant), &row, change).await?;
    out.answer(&serde_json::json!({ "id": row.id, "observeUntil": until }), |out| match until {
        Some(until) => out.line(&format!("Nothing follows from the copies of {} until {until}", row.id)),
        None => out.line(&format!("From now on everything follows from the copies of {}", row.id)),
    })
}

/// Takes the step.
pub(super) async fn step(args: &OneArgs, step: RouteStep, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(args).await?;
    instance.store.for_tenant(row.tenant).step_route(row.id, step).await?;
    let (state, what) = match step {
        RouteStep::Pause => ("paused", "is paused: copies are put off (450) for three days, and then refused"),
        RouteStep::Resume => ("active", "takes copies again"),
        RouteStep::Retire => ("retired", "is retired: copies are put off (450) for three days, and then unknown (550)"),
    };
    out.answer(&serde_json::json!({ "id": row.id, "state": state }), |out| {
        out.line(&format!("Route {} {what}", row.id))
    })
}
