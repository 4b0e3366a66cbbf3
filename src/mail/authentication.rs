//! What was found out about who really sent a message: results of SPF, DKIM, DMARC, ARC and iprev, as data.
//!
//! Results say what was checked, of which domain they speak, and why they are what they are. Only a pass shows anything;
//! everything else, and what was not checked, shows nothing. Nothing here asks DNS or looks at a signature.
//!
//! Standards: RFC 8601 (names of methods, results and properties), RFC 7208 (SPF), RFC 6376 and RFC 8301 (DKIM),
//! RFC 7489 and RFC 9989 (DMARC), RFC 8617 (ARC).

mod claimed;
mod trace;

use serde::{Deserialize, Serialize};

use crate::mail::marks::SignedField;

pub use claimed::{Claim, Claims, MAX_FIELDS};
pub use trace::{Trace, authentication_results};

/// A way of checking (RFC 8601 §2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// RFC 7208: may this address send for this domain?
    Spf,
    /// RFC 6376: did this domain sign these bytes?
    Dkim,
    /// RFC 7489: does one of both speak for the author's domain?
    Dmarc,
    /// RFC 8617: what did those find who handed the message on?
    Arc,
    /// RFC 8601 §3: does the name of the peer's address lead back to it?
    Iprev,
}

impl Method {
    /// The keyword of RFC 8601.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Dmarc => "dmarc",
            Self::Arc => "arc",
            Self::Iprev => "iprev",
        }
    }
}

/// What a method found (RFC 8601 §2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is so.
    Pass,
    /// It is not so, and the domain says that this is reason for mistrust.
    Fail,
    /// SPF: probably not.
    Softfail,
    /// Nothing can be said.
    Neutral,
    /// There was nothing to check.
    None,
    /// It would have passed, and is not believed here.
    Policy,
    /// It could not be checked now. Never a reason to refuse anything.
    Temperror,
    /// It can never be checked: what is published or written is malformed.
    Permerror,
}

impl Outcome {
    /// The keyword of RFC 8601.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Softfail => "softfail",
            Self::Neutral => "neutral",
            Self::None => "none",
            Self::Policy => "policy",
            Self::Temperror => "temperror",
            Self::Permerror => "permerror",
        }
    }
}

/// Whose domain a result speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Identity {
    /// The reverse-path.
    MailFrom,
    /// The name that the peer gave itself; with the null reverse-path it stands for it (RFC 7208 §2.4).
    Helo,
    /// The signer of a DKIM signature.
    Signer,
    /// The author, as From names it.
    Author,
    /// The last sealer of an ARC chain.
    Sealer,
    /// The peer's name in DNS.
    Peer,
}

/// What the author's domain asks for where nothing speaks for it (RFC 7489 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestedPolicy {
    /// Nothing.
    None,
    /// To look at it with suspicion.
    Quarantine,
    /// To refuse it.
    Reject,
}

impl RequestedPolicy {
    /// The word of the record.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }
}

/// How near a domain must be to the author's (RFC 7489 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alignment {
    /// The same organisational domain.
    Relaxed,
    /// The same domain.
    Strict,
}

/// The policy of the author's domain, and what met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorPolicy {
    /// What is asked for this author: `p`, or `sp` or `np` for a subdomain, one step milder in test mode.
    pub requested: RequestedPolicy,
    /// How near the reverse-path must be.
    pub spf_alignment: Alignment,
    /// How near the signer must be.
    pub dkim_alignment: Alignment,
    /// Whether SPF passed for an aligned domain.
    pub spf_aligned: bool,
    /// Whether a signature of an aligned domain passed.
    pub dkim_aligned: bool,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MethodResult {
    /// What was checked.
    pub method: Method,
    /// What was found.
    pub result: Outcome,
    /// Whose domain it speaks of.
    pub identity: Identity,
    /// That domain; empty where there is none. Letters, digits, `.`, `-` and `_` only.
    pub domain: String,
    /// DKIM and ARC: the selector of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Why, in words of ours; null where the result says it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// DMARC: what the author's domain asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<AuthorPolicy>,
}

impl MethodResult {
    /// A result without selector, reason and policy. Of `domain` only what a domain may hold is kept.
    #[must_use]
    pub fn new(method: Method, result: Outcome, identity: Identity, domain: &str) -> Self {
        let domain = token(domain).to_ascii_lowercase();
        Self { method, result, identity, domain, selector: None, reason: None, policy: None }
    }

    /// The same, with a reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// The same, with a selector.
    #[must_use]
    pub fn with_selector(mut self, selector: &str) -> Self {
        self.selector = Some(token(selector));
        self
    }
}

/// What was shown, as a fact that others may build on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FactKind {
    /// The author's domain stands behind the message (DMARC).
    AuthorDomain,
    /// The domain signed these bytes (DKIM).
    SigningDomain,
    /// The peer may send for the reverse-path's domain (SPF).
    EnvelopeDomain,
    /// The peer's address and name name one another (iprev).
    PeerName,
}

/// A fact of the kind `verified`: cryptography or DNS showed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedFact {
    /// What was shown.
    pub fact: FactKind,
    /// Of which domain.
    pub domain: String,
}

/// Who is believed in place of a check of our own that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VoucherKind {
    /// A listed sealer, by a valid ARC chain.
    Arc,
    /// A listed forwarder, by its Authentication-Results field.
    AuthservId,
}

/// A listed forwarder found that the author's domain stood behind the message when it came to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Voucher {
    /// By what it says so.
    pub by: VoucherKind,
    /// The sealer's domain, or the authserv-id.
    pub id: String,
    /// What it found, in words of ours.
    pub reason: String,
}

/// Why an author cannot be told from the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthorDoubt {
    /// There is no From field, or no mailbox in it.
    Missing,
    /// From names several authors, or stands there several times.
    Several,
    /// From can be read in more than one way.
    Obscured,
}

impl AuthorDoubt {
    /// The reason in a result.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "From names no author",
            Self::Several => "From names several authors",
            Self::Obscured => "From can be read in more than one way",
        }
    }
}

/// Sender authentication of one message, from the bytes as they were received.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authentication {
    /// Whether SPF, DKIM, DMARC and ARC were checked; `false`: nothing is known, which is no verdict.
    pub checked: bool,
    /// What was found, one entry for each check; of DKIM one for each signature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<MethodResult>,
    /// What that shows. Facts about names, not about honesty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verified: Vec<VerifiedFact>,
    /// Who is believed although DMARC failed here; null when nobody is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voucher: Option<Voucher>,
    /// Whether the message came with an Authentication-Results field in our name, which nobody but us may write.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub forged_results: bool,
    /// What the signatures of the original show, where the message held another one, from that one's exact bytes. Results
    /// and facts above are about the message that was handed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub original: Vec<MethodResult>,
    /// The same of those that were forwarded together with it, in their order. Kept beside the message; an event tells of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_originals: Vec<Vec<MethodResult>>,
    /// Fields of [`crate::mail::marks::FIELDS`] that stand in the message once and that a passing signature covers. Not kept:
    /// what becomes of them is decided when the message is read.
    #[serde(skip)]
    pub signed_fields: Vec<SignedField>,
}

impl Authentication {
    /// Takes results, and says what they show.
    #[must_use]
    pub fn of(results: Vec<MethodResult>, voucher: Option<Voucher>, forged_results: bool) -> Self {
        let mut verified: Vec<VerifiedFact> = Vec::new();
        for result in results.iter().filter(|result| result.result == Outcome::Pass && !result.domain.is_empty()) {
            let fact = match (result.method, result.identity) {
                (Method::Dmarc, _) => FactKind::AuthorDomain,
                (Method::Dkim, _) => FactKind::SigningDomain,
                (Method::Spf, Identity::MailFrom) => FactKind::EnvelopeDomain,
                (Method::Iprev, _) => FactKind::PeerName,
                // A peer that may use its own name, and what sealers say, show nothing about this message.
                (Method::Spf | Method::Arc, _) => continue,
            };
            let fact = VerifiedFact { fact, domain: result.domain.clone() };
            if !verified.contains(&fact) {
                verified.push(fact);
            }
        }
        Self {
            checked: true,
            results,
            verified,
            voucher,
            forged_results,
            original: Vec::new(),
            other_originals: Vec::new(),
            signed_fields: Vec::new(),
        }
    }

    /// The result of DMARC, where it was checked.
    #[must_use]
    pub fn dmarc(&self) -> Option<&MethodResult> {
        self.results.iter().find(|result| result.method == Method::Dmarc)
    }

    /// The author's domain, where DMARC showed that it stands behind the message.
    #[must_use]
    pub fn author_domain(&self) -> Option<&str> {
        self.verified.iter().find(|fact| fact.fact == FactKind::AuthorDomain).map(|fact| fact.domain.as_str())
    }

    /// What the author's domain asks for, where nothing speaks for the message: DMARC failed, and nobody who is listed
    /// vouches for it. `None` for everything else, above all where DNS could not be asked.
    #[must_use]
    pub fn failure(&self) -> Option<RequestedPolicy> {
        let dmarc = self.dmarc().filter(|dmarc| dmarc.result == Outcome::Fail)?;
        let requested = dmarc.policy.map_or(RequestedPolicy::None, |policy| policy.requested);
        self.voucher.is_none().then_some(requested)
    }
}

/// What a mailbox does with mail that fails DMARC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailurePolicy {
    /// It is taken as any other; the results are on the event.
    #[default]
    Mark,
    /// It is kept, and nothing follows from it, where the author's domain asks for quarantine or reject.
    Quarantine,
    /// It is refused in the session where the author's domain asks for quarantine or reject.
    Reject,
}

impl FailurePolicy {
    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mark => "mark",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    /// Reads the stored word. An unknown one, of a newer version, refuses nothing.
    #[must_use]
    pub fn from_stored(word: &str) -> Self {
        match word {
            "quarantine" => Self::Quarantine,
            "reject" => Self::Reject,
            _ => Self::Mark,
        }
    }

    /// Whether mail with these results is kept without anything following from it. What the session should have refused,
    /// and could not judge in time, is still no mail to act upon.
    #[must_use]
    pub fn quarantines(self, authentication: &Authentication) -> bool {
        self != Self::Mark && authentication.failure() > Some(RequestedPolicy::None)
    }

    /// Whether the session refuses mail with these results.
    #[must_use]
    pub fn refuses(self, authentication: &Authentication) -> bool {
        self == Self::Reject && authentication.failure() > Some(RequestedPolicy::None)
    }
}

/// Longest domain or selector that is kept.
const TOKEN: usize = 255;

/// What is left of a text from outside that can stand in a header and a log without quoting.
fn token(text: &str) -> String {
    text.chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_'))
        .take(TOKEN)
        .collect::<String>()
        .trim_end_matches('.')
        .to_owned()
}

#[cfg(test)]
mod tests;
