//! `connex route`: unguessable addresses for copies of mail.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::installation::{self, open};
use super::output::Table;
use super::place::{ListArgs, OneArgs};
use super::{CliError, JsonArgs, Output, TenantArgs};
use crate::app::{Instance, route_desk};
use crate::config::units::{SIZE_FORM, parse_size};
use crate::mail::peer::PeerRule;
use crate::mail::reading::Reader;
use crate::service::routes::forms::RouteView;
use crate::service::routes::{self, RouteError, Wanted, recent_alarms};
use crate::store::routes::{RouteRow, RouteStep};

mod authors;
mod change;
mod held;
mod life;
mod marks;
mod privacy;
mod report;

pub use authors::AuthorsArgs;
pub use change::SetArgs;
pub use held::{ReDecideArgs, ReleaseArgs};
pub use life::{ObserveArgs, RotateArgs};
pub use marks::{ConfirmArgs, LearnArgs};
pub use privacy::{HoldArgs, PrivacyArgs};
pub use report::{ReconcileArgs, ReportArgs};

/// `connex route …`
#[derive(Debug, Subcommand)]
pub enum RouteCommand {
    /// Add an intake route and show its address.
    #[command(
        after_help = "Example: connex route add --tenant acme --app your-saas --kind journal --format exchange --peer 198.51.100.0/24"
    )]
    Add(AddArgs),
    /// List intake routes.
    #[command(after_help = "Example: connex route list --tenant acme")]
    List(ListArgs),
    /// Show one intake route.
    #[command(after_help = "Example: connex route show rte_01kb3r8x7g0000000000000000 --tenant acme")]
    Show(OneArgs),
    /// Change whose copies a route believes, how it reads them, and how large they may be.
    #[command(
        after_help = "Example: connex route set rte_01kb3r8x7g0000000000000000 --tenant acme --peer 198.51.100.0/24 --peer cert:name:Acme-CA:mx.acme.example"
    )]
    Set(SetArgs),
    /// Give a route a new address; the old one is taken for a while longer.
    #[command(after_help = "Example: connex route rotate rte_01kb3r8x7g0000000000000000 --tenant acme --overlap 7d")]
    Rotate(RotateArgs),
    /// Put copies off until the route is resumed; after three days they are refused.
    #[command(after_help = "Example: connex route pause rte_01kb3r8x7g0000000000000000 --tenant acme")]
    Pause(OneArgs),
    /// Take copies again.
    #[command(after_help = "Example: connex route resume rte_01kb3r8x7g0000000000000000 --tenant acme")]
    Resume(OneArgs),
    /// Give a route up: copies are put off for three days, while an alarm says that they come, and then unknown.
    #[command(after_help = "Example: connex route retire rte_01kb3r8x7g0000000000000000 --tenant acme")]
    Retire(OneArgs),
    /// Take copies from the networks of a provider, held, to see by what marks they can be told from a stranger's.
    #[command(after_help = "Example: connex route learn rte_01kb3r8x7g0000000000000000 --tenant acme")]
    Learn(LearnArgs),
    /// Show the marks that held copies carry, and those that were confirmed.
    #[command(after_help = "Example: connex route marks rte_01kb3r8x7g0000000000000000 --tenant acme")]
    Marks(OneArgs),
    /// Confirm marks: copies that carry exactly these are believed, those that are held too.
    #[command(after_help = "Example: connex route confirm rte_01kb3r8x7g0000000000000000 --tenant acme --set 1")]
    Confirm(ConfirmArgs),
    /// Show why copies are held, and what would make them believed.
    #[command(after_help = "Example: connex route held rte_01kb3r8x7g0000000000000000 --tenant acme")]
    Held(OneArgs),
    /// Decide on held copies again, as if they came in now; what is not believed now either stays held.
    #[command(
        after_help = "Example: connex route re-decide rte_01kb3r8x7g0000000000000000 --tenant acme --from 2026-11-01 --reason peer_not_authorised"
    )]
    ReDecide(ReDecideArgs),
    /// Let one copy pass that is held because it came back in a delivery report, which anybody can write.
    #[command(
        after_help = "Example: connex route release rte_01kb3r8x7g0000000000000000 msg_01kb3r8x7g0000000000000000 --tenant acme"
    )]
    Release(ReleaseArgs),
    /// Decide and show what would follow from a route's copies, and let nothing follow, for a while longer.
    #[command(after_help = "Example: connex route observe rte_01kb3r8x7g0000000000000000 --tenant acme --for 0s")]
    Observe(ObserveArgs),
    /// List whose copies a bcc route believes, and show who is listed.
    #[command(
        after_help = "Example: connex route authors rte_01kb3r8x7g0000000000000000 --tenant acme --only address:mia@harbor.example"
    )]
    Authors(AuthorsArgs),
    /// Set which copies a route takes notice of and what it keeps of them, and show what holds.
    #[command(
        after_help = "Example: connex route privacy rte_01kb3r8x7g0000000000000000 --tenant acme --exclude address:ceo@harbor.example --exclude newsletter --keep text --keep-for 90"
    )]
    Privacy(PrivacyArgs),
    /// Have all that is there of a route's copies stay, whatever the route keeps, or end that.
    #[command(after_help = "Example: connex route hold rte_01kb3r8x7g0000000000000000 on --tenant acme")]
    Hold(HoldArgs),
    /// Show what would have followed from the copies of a route that is observed.
    #[command(after_help = "Example: connex route report rte_01kb3r8x7g0000000000000000 --tenant acme")]
    Report(ReportArgs),
    /// Count copies by day and route, to be compared with what the source counts.
    #[command(after_help = "Example: connex route reconcile --tenant acme --since 2026-11-01 --csv")]
    Reconcile(ReconcileArgs),
    /// Remove an intake route; mail to it is answered 550 from now on.
    #[command(after_help = "Example: connex route remove rte_01kb3r8x7g0000000000000000 --tenant acme")]
    Remove(OneArgs),
}

/// Arguments of `connex route add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// App that gets its operations, by id or name.
    #[arg(long, value_name = "APP")]
    pub app: String,
    /// What kind of copy it takes.
    #[arg(long, value_enum)]
    pub kind: RouteKind,
    /// The layout of a journal route's mail; pinned, whatever the mail says of itself.
    #[arg(long, value_enum, required_if_eq("kind", "journal"))]
    pub format: Option<JournalFormat>,
    /// Whose copies are trusted: a network, key:KEY_ID, cert:sha256:HEX, cert:name:ISSUER:NAME, door:lmtp, door:milter;
    /// or, once marks are confirmed, shared:exchange-online, shared:google-workspace, shared:SPF-DOMAIN:SIGNER; again for
    /// more.
    #[arg(long, value_name = "PEER")]
    pub peer: Vec<PeerRule>,
    /// The largest message that it takes, up to routes.message_size (for bcc and fwd routes: smtp.limits.message_size
    /// where it is not given).
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub size_cap: Option<u64>,
    /// How long nothing follows from its copies but a report of what would, up to 90d; 7d for journal routes where it is
    /// not given, 0s for others.
    #[arg(long, value_name = "TIME", value_parser = life::up_to_90_days)]
    pub observe: Option<Duration>,
    /// Whose it is.
    #[command(flatten)]
    pub whose: TenantArgs,
}

/// What kind of copy a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum RouteKind {
    /// Journal reports, or the plain copies of a whole organisation.
    Journal,
    /// Blind copies.
    Bcc,
    /// Forwarded messages.
    Fwd,
}

/// The layout of what a journal route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum JournalFormat {
    /// Reports of Exchange 2007 and later, and of Exchange Online.
    Exchange,
    /// Reports of Exchange 2000 and 2003.
    ExchangeLegacy,
    /// Reports of Amazon WorkMail.
    Workmail,
    /// The messages themselves: Google Workspace, Postfix, Exim, Zimbra, Domino.
    Plain,
}

/// How a route of this kind reads.
///
/// # Errors
/// A format for a kind that has none, or none for a journal route.
pub(super) fn reader(kind: RouteKind, format: Option<JournalFormat>) -> Result<Reader, CliError> {
    let kind = match kind {
        RouteKind::Journal => "journal",
        RouteKind::Bcc => "bcc",
        RouteKind::Fwd => "fwd",
    };
    Ok(routes::reader(kind, format.map(JournalFormat::word))?)
}

impl JournalFormat {
    const fn word(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::ExchangeLegacy => "exchange-legacy",
            Self::Workmail => "workmail",
            Self::Plain => "plain",
        }
    }
}

impl From<RouteError> for CliError {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::Field { message, .. } => Self::Usage(message),
            RouteError::NoDomain | RouteError::Sealed(_) => Self::Failed(anyhow::Error::new(error)),
            RouteError::Store(error) => error.into(),
        }
    }
}

impl RouteCommand {
    pub(super) const fn json(&self) -> &JsonArgs {
        match self {
            Self::Add(args) => &args.whose.json,
            Self::List(args) => &args.json,
            Self::Set(args) => &args.one.json,
            Self::ReDecide(args) => &args.one.json,
            Self::Release(args) => &args.one.json,
            Self::Rotate(args) => &args.one.json,
            Self::Learn(args) => &args.one.json,
            Self::Confirm(args) => &args.one.json,
            Self::Observe(args) => &args.one.json,
            Self::Authors(args) => &args.one.json,
            Self::Privacy(args) => &args.one.json,
            Self::Hold(args) => &args.one.json,
            Self::Report(args) => &args.one.json,
            Self::Reconcile(args) => &args.list.json,
            Self::Marks(args) | Self::Held(args) => &args.json,
            Self::Show(args) | Self::Remove(args) | Self::Pause(args) | Self::Resume(args) | Self::Retire(args) => {
                &args.json
            }
        }
    }
}

fn size(text: &str) -> Result<u64, String> {
    parse_size(text).filter(|size| *size > 0).ok_or_else(|| format!("must be {SIZE_FORM}"))
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its exit code.
pub async fn run(command: RouteCommand, out: &mut Output) -> Result<(), CliError> {
    match command {
        RouteCommand::Add(args) => add(args, out).await,
        RouteCommand::List(args) => list(args, out).await,
        RouteCommand::Show(args) => show(args, out).await,
        RouteCommand::Set(args) => change::set(args, out).await,
        RouteCommand::Held(args) => held::show(args, out).await,
        RouteCommand::ReDecide(args) => held::re_decide(args, out).await,
        RouteCommand::Release(args) => held::release(args, out).await,
        RouteCommand::Rotate(args) => life::rotate(args, out).await,
        RouteCommand::Pause(args) => life::step(&args, RouteStep::Pause, out).await,
        RouteCommand::Resume(args) => life::step(&args, RouteStep::Resume, out).await,
        RouteCommand::Retire(args) => life::step(&args, RouteStep::Retire, out).await,
        RouteCommand::Learn(args) => marks::learn(args, out).await,
        RouteCommand::Marks(args) => marks::show(args, out).await,
        RouteCommand::Confirm(args) => marks::confirm(args, out).await,
        RouteCommand::Observe(args) => life::observe(args, out).await,
        RouteCommand::Authors(args) => authors::authors(args, out).await,
        RouteCommand::Privacy(args) => privacy::privacy(args, out).await,
        RouteCommand::Hold(args) => privacy::hold(args, out).await,
        RouteCommand::Report(args) => report::report(args, out).await,
        RouteCommand::Reconcile(args) => report::reconcile(args, out).await,
        RouteCommand::Remove(args) => {
            let (instance, row) = one(&args).await?;
            instance.store.for_tenant(row.tenant).remove_route(row.id).await?;
            out.answer(&serde_json::json!({ "removed": row.id }), |out| out.line(&format!("Removed route {}", row.id)))
        }
    }
}

async fn add(args: AddArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, tenant) = args.whose.open().await?;
    let app = installation::app(&tenant, &args.app).await?.id;
    let reader = reader(args.kind, args.format)?;
    let wanted = Wanted { reader, app: Some(app), peers: args.peer, size_cap: args.size_cap, observe: args.observe };
    let made = route_desk(&instance).make(&tenant, wanted, &instance.clock).await?;
    let (id, address) = (made.id, &made.address);
    out.answer(&serde_json::json!({ "id": id, "address": address, "observeUntil": made.observe_until }), |out| {
        out.line(&format!("Route {id} takes copies at {address}"))?;
        if let Some(until) = made.observe_until {
            out.line(&format!("Until {until} nothing follows from them: `connex route report {id}` shows what would"))?;
        }
        out.line("Whoever knows the address can send to it: treat it as a secret.")
    })
}

async fn list(args: ListArgs, out: &mut Output) -> Result<(), CliError> {
    let instance = open(&args.data).await?;
    let now = instance.clock.now();
    let mut table = Table::new(["ROUTE", "KIND", "FORMAT", "PEERS", "STATE", "ALARMS", "TENANT"]);
    let mut all = Vec::new();
    for (name, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
        let (alarms, apps) = (recent_alarms(&tenant, now).await?, tenant.apps().await?);
        for row in tenant.routes().await? {
            let view = RouteView::of(&row, &alarms, &apps, now);
            let words: Vec<&str> = view.alarms.iter().map(|alarm| alarm.alarm.as_str()).collect();
            table.row([
                view.id.clone(),
                view.kind.clone(),
                view.format.clone().unwrap_or_else(|| "-".to_owned()),
                view.peers.join(" "),
                view.state.clone(),
                if words.is_empty() { "-".to_owned() } else { words.join(" ") },
                name.clone(),
            ]);
            all.push(view);
        }
    }
    out.answer(&all, |out| out.table(&table))
}

async fn show(args: OneArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(&args).await?;
    let (tenant, now, desk) = (instance.store.for_tenant(row.tenant), instance.clock.now(), route_desk(&instance));
    let address = desk.address(row.id, &row.address_sealed).map_err(RouteError::from)?;
    let mut former = Vec::new();
    for one in tenant.former_addresses().await?.into_iter().filter(|one| one.route == row.id) {
        let address = desk.address(row.id, &one.address_sealed).map_err(RouteError::from)?;
        former.push((address, one.accepted_until));
    }
    let view = RouteView::of(&row, &recent_alarms(&tenant, now).await?, &tenant.apps().await?, now);
    let mut shown = serde_json::to_value(&view).map_err(anyhow::Error::new)?;
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("address".to_owned(), address.clone().into());
        let listed =
            former.iter().map(|(address, until)| serde_json::json!({ "address": address, "acceptedUntil": until }));
        fields.insert("formerAddresses".to_owned(), listed.collect());
    }
    out.answer(&shown, |out| {
        let format = row.reader.format().map(|format| format!(" {format}")).unwrap_or_default();
        out.line(&format!("{} {}{format} {} {address}", row.id, row.reader.prefix(), row.state.as_str()))?;
        for (address, until) in &former {
            out.line(&format!("formerly {address}, taken until {until}"))?;
        }
        if let Some(at) = row.validated_at {
            out.line(&format!("ok: the mail system's test of its connector came through at {at}"))?;
        }
        for alarm in &view.alarms {
            let (word, count) = (&alarm.alarm, alarm.count);
            out.line(&format!("alarm {word}, {count} times from {} to {}", alarm.first_at, alarm.last_at))?;
        }
        out.line("Whoever knows the address can send to it: treat it as a secret.")
    })
}

async fn one(args: &OneArgs) -> Result<(Instance, RouteRow), CliError> {
    let instance = open(&args.data).await?;
    let mut rows = Vec::new();
    for (_, tenant) in installation::tenants(&instance, args.tenant.as_deref()).await? {
        rows.extend(tenant.routes().await?.into_iter().map(|row| (row.tenant, row)));
    }
    let (_, row) = installation::found("route", &args.id, rows.into_iter(), |row| row.id.to_string() == args.id)?;
    Ok((instance, row))
}
