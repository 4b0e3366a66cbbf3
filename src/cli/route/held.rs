//! `connex route held | re-decide | release`: copies that are not believed, and deciding on them again.

use clap::Args;

use super::one;
use crate::cli::CliError;
use crate::cli::output::{Output, Table};
use crate::cli::place::OneArgs;
use crate::clock::Timestamp;
use crate::ids::MessageId;
use crate::service::routes::held::{HeldPage, OPERATOR, everything, held, redecide, window};
use crate::service::routes::reconciliation::day;

/// Arguments of `connex route re-decide`.
#[derive(Debug, Args)]
pub struct ReDecideArgs {
    /// Which route.
    #[command(flatten)]
    pub one: OneArgs,
    /// Copies that came then or later: a day (UTC) such as 2026-11-01, or a time as in RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: Timestamp,
    /// Copies that came before this; now where it is not given.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub to: Option<Timestamp>,
    /// Copies that are held for this reason, as `connex route held` shows it; without it, for any.
    #[arg(long, value_name = "REASON")]
    pub reason: Option<String>,
}

/// Arguments of `connex route release`.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// Which route.
    #[command(flatten)]
    pub one: OneArgs,
    /// Which message.
    #[arg(value_name = "MESSAGE")]
    pub message: MessageId,
}

fn time(text: &str) -> Result<Timestamp, String> {
    let found = day(text).or_else(|| Timestamp::parse_rfc3339(text));
    found.ok_or_else(|| "must be a day such as 2026-11-01, or a time such as 2026-11-01T09:30:00Z".to_owned())
}

/// Shows why copies are held.
pub(super) async fn show(args: OneArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(&args).await?;
    let page = held(&instance.store.for_tenant(row.tenant), row.id, &everything()).await?;
    out.answer(&page, |out| out.table(&table(&page)))
}

/// Has held copies decided on again.
pub(super) async fn re_decide(args: ReDecideArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(&args.one).await?;
    // What came in this very moment came before it is over.
    let to = args.to.unwrap_or(instance.clock.now().plus(std::time::Duration::from_secs(1)));
    let wanted = window(args.from, to, args.reason.as_deref())?;
    let tenant = instance.store.for_tenant(row.tenant);
    let page = redecide(&tenant, row.id, wanted, OPERATOR.to_owned()).await?;
    out.answer(&page, |out| {
        out.table(&table(&page))?;
        if page.more {
            out.line("There are more in this window: the same command goes on with them.")?;
        }
        out.line(&format!(
            "Those that wait are read again by the running gateway; `connex route held {}` shows what stays held",
            row.id
        ))
    })
}

/// Lets one copy pass that came back in a delivery report.
pub(super) async fn release(args: ReleaseArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(&args.one).await?;
    let tenant = instance.store.for_tenant(row.tenant);
    tenant.release_returned(row.id, args.message, OPERATOR.to_owned()).await?;
    out.answer(&serde_json::json!({ "id": row.id, "message": args.message, "released": true }), |out| {
        out.line(&format!("{} is decided on as if it had not come back in a delivery report", args.message))?;
        out.line("Whatever else is in its way stays in its way.")
    })
}

fn table(page: &HeldPage) -> Table {
    let mut table = Table::new(["REASON", "HELD", "WAITING", "LAST", "WHAT WOULD MAKE THEM BELIEVED"]);
    for one in &page.items {
        let (copies, waiting) = (one.copies.to_string(), one.waiting.to_string());
        table.row([one.reason.clone(), copies, waiting, one.last_at.clone(), one.remedy.clone()]);
    }
    table
}
