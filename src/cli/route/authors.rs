//! `connex route authors`: whose copies a `bcc` route believes.

use clap::Args;

use super::one;
use crate::app::route_desk;
use crate::cli::CliError;
use crate::cli::output::Output;
use crate::cli::place::OneArgs;
use crate::mail::reading::Reader;
use crate::mail::selection::AuthorRule;
use crate::store::routes::RouteChange;

/// Arguments of `connex route authors`.
#[derive(Debug, Args)]
pub struct AuthorsArgs {
    /// Which route; a `bcc` one.
    #[command(flatten)]
    pub one: OneArgs,
    /// Believe copies of this author and of no others, in place of those before; again for more: address:ADDRESS,
    /// domain:DOMAIN.
    #[arg(long, value_name = "AUTHOR")]
    pub only: Vec<AuthorRule>,
    /// Believe copies of every author that the route would believe otherwise.
    #[arg(long, conflicts_with = "only")]
    pub anyone: bool,
}

/// Sets what was given, and shows what holds now.
pub(super) async fn authors(args: AuthorsArgs, out: &mut Output) -> Result<(), CliError> {
    let (instance, row) = one(&args.one).await?;
    if row.reader != Reader::Bcc {
        return Err(CliError::Usage("authors are listed of bcc routes alone".to_owned()));
    }
    let change =
        RouteChange { authors: (args.anyone || !args.only.is_empty()).then_some(args.only), ..RouteChange::default() };
    let authors = route_desk(&instance).change(&instance.store.for_tenant(row.tenant), &row, change).await?.authors;
    out.answer(&serde_json::json!({ "id": row.id, "authors": authors }), |out| {
        let words: Vec<String> = authors.iter().map(ToString::to_string).collect();
        let whose = if words.is_empty() { "anyone".to_owned() } else { words.join(" ") };
        out.line(&format!("Route {} takes copies of mail by {whose}", row.id))
    })
}
