//! `connex route set`: whose copies a route believes, how it reads them, and how large they may be.

use clap::Args;

use super::{JournalFormat, RouteKind, one, reader, size};
use crate::app::route_desk;
use crate::cli::CliError;
use crate::cli::output::Output;
use crate::cli::place::OneArgs;
use crate::mail::peer::PeerRule;
use crate::store::routes::RouteChange;

/// Arguments of `connex route set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Which route.
    #[command(flatten)]
    pub one: OneArgs,
    /// Trust copies of this peer and of no others, in place of those before; again for more. As in `connex route add`.
    #[arg(long, value_name = "PEER")]
    pub peer: Vec<PeerRule>,
    /// Trust copies of nobody by who hands them over.
    #[arg(long, conflicts_with = "peer")]
    pub no_peer: bool,
    /// The layout of a journal route's mail, from the next copy on.
    #[arg(long, value_enum)]
    pub format: Option<JournalFormat>,
    /// The largest message that it takes, up to routes.message_size.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub size_cap: Option<u64>,
    /// Take messages as large as configured for routes of its kind.
    #[arg(long, conflicts_with = "size_cap")]
    pub no_size_cap: bool,
}

/// Sets what was given, and shows what holds now.
pub(super) async fn set(args: SetArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(&args.one).await?;
    let tenant = instance.store.for_tenant(row.tenant);
    let change = RouteChange {
        reader: args.format.map(|format| reader(RouteKind::Journal, Some(format))).transpose()?,
        peers: (args.no_peer || !args.peer.is_empty()).then_some(args.peer),
        size_cap: (args.no_size_cap || args.size_cap.is_some()).then_some(args.size_cap),
        ..RouteChange::default()
    };
    let row = route_desk(&instance).change(&tenant, &row, change).await?;
    let answer = serde_json::json!({
        "id": row.id, "peers": row.peers, "format": row.reader.format(), "sizeCap": row.size_cap,
    });
    out.answer(&answer, |out| {
        let peers: Vec<String> = row.peers.iter().map(ToString::to_string).collect();
        let peers = if peers.is_empty() { "nobody by who they are".to_owned() } else { peers.join(" ") };
        out.line(&format!("Route {} trusts copies of {peers}", row.id))?;
        if let Some(format) = row.reader.format() {
            out.line(&format!("It reads them as `{format}`"))?;
        }
        if let Some(size) = row.size_cap {
            out.line(&format!("It takes up to {size} octets"))?;
        }
        out.line(&format!("What it holds stays held: `connex route held {}` shows that", row.id))
    })
}
