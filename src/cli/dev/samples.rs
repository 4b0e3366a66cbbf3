//! The sample mails: sent through the instance's own port with STARTTLS, as any client would.

use super::places::Places;
use super::seed::Seed;
use crate::cli::CliError;
use crate::cli::samples::{SAMPLES, Sample};
use crate::cli::smtp_client::{
    MessageData, Security, ServerName, Settings, SmtpClient, SmtpError, Transaction, TrustedRoots,
};
use crate::clock::Clock;
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::message::{self, Message};
use crate::mail::notice;

/// A sample that was accepted.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) name: &'static str,
    /// Without angle brackets.
    pub(super) message_id: Option<String>,
}

/// Sends every sample in one session; the copy goes to the bcc route, all other to the mailbox.
pub(super) async fn send(places: &Places, seed: &Seed) -> Result<Vec<Sent>, CliError> {
    let roots = TrustedRoots::only(places.ca_file()).map_err(anyhow::Error::new)?;
    let server: ServerName = format!("localhost:{}", places.smtp().port()).parse().map_err(anyhow::Error::new)?;
    let failed = |error: SmtpError| CliError::Failed(anyhow::Error::new(error).context("sending the sample mails"));
    let mut client = SmtpClient::connect(&server, &Settings::new(Security::Required(roots))).await.map_err(failed)?;
    let bcc_route = Mailbox::parse(&seed.bcc_route).map_err(anyhow::Error::new)?;
    let mut sent = Vec::new();
    for sample in SAMPLES {
        let bytes = sample.message(&seed.mailbox, &Clock::System);
        let read = message::read(&bytes, &message::Limits::default());
        let transaction = Transaction {
            reverse_path: &reverse_path(&read),
            forward_paths: std::slice::from_ref(if sample.is_copy { &bcc_route } else { &seed.mailbox }),
            data: &MessageData::new(&bytes),
        };
        let accepted = client.send(transaction).await.map_err(failed)?;
        if let Some((_, reply)) = accepted.refused.first() {
            return Err(refused(sample, &reply.to_string()));
        }
        sent.push(Sent { name: sample.name, message_id: read.message_id });
    }
    client.quit().await;
    Ok(sent)
}

/// The author's address; `<>` for automatic answers (RFC 3834 §3.3).
fn reverse_path(message: &Message) -> ReversePath {
    let author = message.author.as_ref().and_then(|author| author.mailbox.clone());
    match (notice::automated(message, false), author) {
        (None, Some(author)) => ReversePath::Mailbox(author),
        _ => ReversePath::Null,
    }
}

fn refused(sample: &Sample, reply: &str) -> CliError {
    CliError::failed(format!("the sample {} was refused: {reply}", sample.name))
}
