//! `connex domain check`: every record that a domain needs, beside what stands in DNS; and the proof among them counts.

use super::super::output::{Table, Tone};
use super::super::{CliError, Output};
use crate::app::{Instance, domain_desk, resolver};
use crate::dns::{DnsError, Resolver};
use crate::mail::setup::{Check, Standing};
use crate::service::domains::look::look;
use crate::service::domains::{DomainRecords, Proof};
use crate::store::domains::{DomainRow, DomainState};

/// Looks, records what the look for the proof came to, and shows everything.
pub(super) async fn run(instance: &Instance, row: DomainRow, out: &mut Output) -> Result<(), CliError> {
    let desk = domain_desk(&instance.config);
    let looked = desk.check(&dns(instance)?, &instance.store, &row).await?;
    out.answer(&DomainRecords::of(&row, &looked), |out| {
        out.line(&format!("{} is {}", super::beside(&row.domain), looked.state.as_str()))?;
        out.line(&format!("Its mail goes {}", super::relay::shown(&looked.route)))?;
        show(&looked.records, out)
    })?;
    match looked.proof {
        Proof::Taken => {
            Err(CliError::failed(format!("another tenant has proven {}: it must give the domain up first", row.domain)))
        }
        Proof::Found => Ok(()),
        // What was taken without proof has none to look for.
        Proof::Missing if row.proof.is_empty() && looked.state != DomainState::Pending => Ok(()),
        Proof::Missing => Err(CliError::failed(format!("{} is not proven", row.domain))),
        Proof::Unknown(error) => Err(trouble(error)),
    }
}

/// Whether the proof of a domain is in DNS, which is asked anew.
pub(super) async fn is_proven(instance: &Instance, row: &DomainRow) -> Result<bool, CliError> {
    look(&dns(instance)?, row).await.map_err(trouble)
}

fn trouble(error: DnsError) -> CliError {
    CliError::Unreachable(anyhow::Error::new(error).context("looking for the record"))
}

fn dns(instance: &Instance) -> Result<Resolver, CliError> {
    Ok(resolver(&instance.config).map_err(anyhow::Error::new)?)
}

fn show(checks: &[Check], out: &mut Output) -> Result<(), CliError> {
    let mut table = Table::new(["RECORD", "STANDING", "NAME", "TYPE", "EXPECTED", "FOUND"]);
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    for check in checks {
        table.row([
            check.record.as_str().to_owned(),
            check.standing.as_str().to_owned(),
            or_dash(check.name.clone()),
            check.kind.to_owned(),
            or_dash(check.expected.clone()),
            or_dash(check.found.join(", ")),
        ]);
    }
    out.table(&table)?;
    for check in checks {
        if let Some(note) = &check.note {
            out.tinted(Tone::Faint, &format!("{}: {note}", check.record.as_str()))?;
        }
    }
    let open = |check: &&Check| matches!(check.standing, Standing::Missing | Standing::Differs);
    for check in checks.iter().filter(open) {
        for (place, line) in check.zone_lines.iter().enumerate() {
            let word = if place == 0 { "set" } else { "or, where no TXT can be set," };
            out.line(&format!("{}: {word}", check.record.as_str()))?;
            out.line(line)?;
        }
    }
    Ok(())
}
