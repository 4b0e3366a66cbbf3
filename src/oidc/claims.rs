//! What a token says, and whether that is meant for us, now, and in answer to our question.
//!
//! Takes values and the time, returns values: no clock, no I/O.
//!
//! Standards: OpenID Connect Core 1.0 §2 and §3.1.3.7, RFC 7519 §4.1.

use std::time::Duration;

use serde::Deserialize;

use crate::clock::Timestamp;

/// How far the clock of an issuer may be off.
const SKEW: i64 = 60;
/// OpenID Connect Core §2: a subject has at most 255 characters.
const MOST_SUBJECT: usize = 255;

/// What a token must say.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'e> {
    /// Who made it.
    pub issuer: &'e str,
    /// For whom it is.
    pub audience: &'e str,
    /// What it answers.
    pub nonce: &'e str,
    /// Not before then must the person have proved who they are; `None`: at any time.
    pub authenticated_since: Option<Timestamp>,
    /// The time.
    pub now: Timestamp,
}

/// What a token says that was made for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who it is, at the issuer.
    pub subject: String,
    /// Until then it counts.
    pub expires_at: Timestamp,
    /// When the person proved who they are, where it says so.
    pub authenticated_at: Option<Timestamp>,
    /// Their address, where the issuer checked it.
    pub verified_email: Option<String>,
    /// What they are called.
    pub name: Option<String>,
}

/// Why a token is not for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimFault {
    /// Not what the standard says, or something is missing.
    #[error("the token does not say what an ID token must")]
    Form,
    /// Of another issuer.
    #[error("the token is of another issuer")]
    Issuer,
    /// For somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// From the future.
    #[error("the token is from the future: compare the clocks")]
    Future,
    /// It answers another question.
    #[error("the token's nonce is another")]
    Nonce,
    /// It does not say when the person proved who they are, or that was too long ago.
    #[error("the person has not signed in recently enough (auth_time)")]
    AuthTime,
}

#[derive(Deserialize)]
struct Raw {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    iat: f64,
    nbf: Option<f64>,
    nonce: Option<String>,
    auth_time: Option<f64>,
    email: Option<String>,
    email_verified: Option<serde_json::Value>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// The issuer that an unchecked token names, to know whose keys check it.
#[must_use]
pub fn issuer_of(payload: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        iss: String,
    }
    serde_json::from_slice::<Named>(payload).ok().map(|named| named.iss)
}

impl Claims {
    /// Reads what a token says whose signature was checked.
    ///
    /// # Errors
    /// [`ClaimFault`]; nothing of the token is in it.
    pub fn read(payload: &[u8], expected: &Expected<'_>) -> Result<Self, ClaimFault> {
        let raw: Raw = serde_json::from_slice(payload).map_err(|_| ClaimFault::Form)?;
        if raw.iss != expected.issuer {
            return Err(ClaimFault::Issuer);
        }
        if !is_for(&raw, expected.audience) {
            return Err(ClaimFault::Audience);
        }
        let (expires_at, issued_at) = (moment(raw.exp)?, moment(raw.iat)?);
        let now = expected.now.as_seconds();
        if expires_at.as_seconds().saturating_add(SKEW) <= now {
            return Err(ClaimFault::Expired);
        }
        let begins = raw.nbf.map(moment).transpose()?;
        if [Some(issued_at), begins].into_iter().flatten().any(|at| at.as_seconds() > now.saturating_add(SKEW)) {
            return Err(ClaimFault::Future);
        }
        if raw.nonce.as_deref() != Some(expected.nonce) {
            return Err(ClaimFault::Nonce);
        }
        let authenticated_at = raw.auth_time.map(moment).transpose()?;
        let is_recent = |since: Timestamp| {
            let is_since = |at: Timestamp| at.as_seconds() >= since.as_seconds() && at.as_seconds() <= now + SKEW;
            authenticated_at.is_some_and(is_since)
        };
        if !expected.authenticated_since.is_none_or(is_recent) {
            return Err(ClaimFault::AuthTime);
        }
        if raw.sub.is_empty() || raw.sub.len() > MOST_SUBJECT || raw.sub.chars().any(char::is_control) {
            return Err(ClaimFault::Form);
        }
        // Some write the truth as a text.
        let is_verified = matches!(&raw.email_verified, Some(flag) if *flag == true || *flag == "true");
        Ok(Self {
            subject: raw.sub,
            expires_at,
            authenticated_at,
            verified_email: raw.email.filter(|_| is_verified),
            name: raw.name,
        })
    }
}

/// OpenID Connect Core §3.1.3.7, 3 to 5: we are among the audience, and what was made at the wish of others is not for us.
fn is_for(raw: &Raw, audience: &str) -> bool {
    let (is_named, is_alone) = match &raw.aud {
        Audience::One(one) => (one == audience, true),
        Audience::Several(several) => (several.iter().any(|one| one == audience), several.len() == 1),
    };
    let is_ours = raw.azp.as_deref().map_or(is_alone, |party| party == audience);
    is_named && is_ours
}

/// RFC 7519 §2: seconds since 1970, perhaps with a fraction.
fn moment(seconds: f64) -> Result<Timestamp, ClaimFault> {
    // The year 9999; what is beyond is no time of anybody's.
    const LAST: f64 = 253_402_300_799.0;
    if !(0.0..=LAST).contains(&seconds) {
        return Err(ClaimFault::Form);
    }
    let since = Duration::try_from_secs_f64(seconds).map_err(|_| ClaimFault::Form)?;
    Ok(Timestamp::from_micros(i64::try_from(since.as_micros()).map_err(|_| ClaimFault::Form)?))
}
