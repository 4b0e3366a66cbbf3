//! A certificate that nobody vouches for, until there is one: mail is encrypted from the first minute.

use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::{AcmeError, Obtained};
use crate::clock::Timestamp;

/// Makes one for `hosts`, valid for a day from `now`, so that its end is as alarming as it should be.
///
/// # Errors
/// A host name cannot stand in a certificate.
pub fn placeholder(hosts: &[String], now: Timestamp) -> Result<Obtained, AcmeError> {
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Connex placeholder, until the authority has issued one");
    let seconds = u64::try_from(now.as_seconds()).unwrap_or(0);
    // An hour back, for clients whose clock is behind.
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.saturating_sub(3_600));
    params.not_after = params.not_before + Duration::from_secs(86_400);
    let key = KeyPair::generate()?;
    Ok(Obtained { chain: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
}
