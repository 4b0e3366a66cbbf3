//! Plain copies (`bcc` routes): who the message was for, without the route's own address, and in which direction it went.
//!
//! # Security
//! A route address is a secret: whoever knows it can hand in copies. It is taken out of everything that apps can see,
//! wherever it stands. Headers of a copy are statements, not evidence; whether they are believed is decided elsewhere.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use regex::{Regex, bytes};
use serde::{Deserialize, Serialize};

use crate::mail::address::{Domain, Mailbox};
use crate::mail::message::{HeaderAddress, Message};

/// How a recipient was addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecipientType {
    /// Named in To.
    To,
    /// Named in Cc.
    Cc,
    /// Named in Bcc, or reached though named in no header.
    Bcc,
    /// The source could not say.
    Unknown,
}

/// One recipient of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyRecipient {
    /// The address.
    pub address: String,
    /// The address as a mailbox; `None` when it is none.
    pub mailbox: Option<Mailbox>,
    /// Name, where the header has one.
    pub display_name: Option<String>,
    /// How it was addressed.
    pub recipient_type: RecipientType,
    /// The group through which it was reached, where a journal report tells.
    pub expanded_from: Option<String>,
    /// Whose mailbox forwards to it, where a journal report tells.
    pub forwarded_from: Option<String>,
}

/// Direction of a message as seen from the tenant's owned domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From outside to an owned domain.
    Inbound,
    /// From an owned domain to somebody outside.
    Outbound,
    /// From an owned domain to owned domains only.
    Internal,
    /// It cannot be told.
    Unknown,
}

/// What stands in place of a route address.
pub const HIDDEN: &str = "[route-address]";

/// The addresses of intake routes, to find and remove them. Never shown, not even by `Debug`.
#[derive(Clone, Default)]
pub struct RouteAddresses {
    keys: Vec<String>,
    /// Finds known addresses that do not have the usual form.
    unusual: Option<Regex>,
    /// Finds what is secret of known addresses, in octets.
    known: Option<bytes::Regex>,
}

impl std::fmt::Debug for RouteAddresses {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "RouteAddresses({})", self.keys.len())
    }
}

#[expect(clippy::expect_used, reason = "a constant pattern, compiled by every test that redacts")]
static USUAL: LazyLock<Regex> = LazyLock::new(|| {
    // The token alone is the secret, so it is found with and without detail and domain.
    Regex::new(r#"(?i)\b(?:journal|bcc|fwd)-[a-z2-7]{26}(?:\+[^\s<>"@,;]*)?(?:(?:@|%40)[a-z0-9.-]*[a-z0-9])?"#)
        .expect("the pattern is valid")
});

#[expect(clippy::expect_used, reason = "a constant pattern, compiled by every test that redacts")]
static OCTETS: LazyLock<bytes::Regex> = LazyLock::new(|| {
    // As above, and in the middle of a word as well: servers put what they like in front of an address.
    bytes::Regex::new(r#"(?i-u)(?:journal|bcc|fwd)-[a-z2-7]{26}(?:\+[^\s<>"@,;]*)?(?:(?:@|%40)[a-z0-9.-]*[a-z0-9])?"#)
        .expect("the pattern is valid")
});

impl RouteAddresses {
    /// Knows every address in `known`, and whatever has the form of a route address.
    #[must_use]
    pub fn new<'a>(known: impl IntoIterator<Item = &'a Mailbox>) -> Self {
        let known: Vec<&Mailbox> = known.into_iter().collect();
        let (mut unusual, mut secrets): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for mailbox in &known {
            let (user, _) = mailbox.split_detail();
            let plain = format!("{user}@{}", mailbox.domain());
            let (escaped, domain) = (regex::escape(user), regex::escape(mailbox.domain().as_str()));
            if USUAL.is_match(&plain) {
                secrets.push(escaped);
            } else {
                let address = format!(r#"{escaped}(?:\+[^\s<>"@,;]*)?(?:@|%40){domain}"#);
                secrets.push(address.clone());
                unusual.push(address);
            }
        }
        unusual.sort_unstable();
        unusual.dedup();
        secrets.sort_unstable();
        secrets.dedup();
        let pattern = format!("(?i)(?:{})", unusual.join("|"));
        let unusual = if unusual.is_empty() { None } else { Regex::new(&pattern).ok() };
        let pattern = format!("(?i)(?:{})", secrets.join("|"));
        let known_octets = if secrets.is_empty() { None } else { bytes::Regex::new(&pattern).ok() };
        Self { keys: known.into_iter().map(Mailbox::key_without_detail).collect(), unusual, known: known_octets }
    }

    /// Whether a known address stands in these octets, its token alone too.
    pub(in crate::mail) fn knows_in(&self, octets: &[u8]) -> bool {
        self.known.as_ref().is_some_and(|known| known.is_match(octets))
    }

    /// Whether a known address, or one of the form of a route's, stands in these octets.
    #[must_use]
    pub fn stands_in(&self, octets: &[u8]) -> bool {
        OCTETS.is_match(octets) || self.knows_in(octets)
    }

    /// `octets` with [`HIDDEN`] in place of every route address that stands there as it is.
    #[must_use]
    pub fn redact_octets<'a>(&self, octets: &'a [u8]) -> Cow<'a, [u8]> {
        let octets = OCTETS.replace_all(octets, bytes::NoExpand(HIDDEN.as_bytes()));
        match &self.known {
            Some(known) => match known.replace_all(&octets, bytes::NoExpand(HIDDEN.as_bytes())) {
                Cow::Borrowed(_) => octets,
                Cow::Owned(redacted) => Cow::Owned(redacted),
            },
            None => octets,
        }
    }

    /// Whether `address` is a route address, with or without detail.
    #[must_use]
    pub fn contains(&self, address: &str) -> bool {
        let is_known =
            || Mailbox::parse(address).is_ok_and(|mailbox| self.keys.contains(&mailbox.key_without_detail()));
        USUAL.is_match(address) || is_known()
    }

    /// `text` with [`HIDDEN`] in place of every route address.
    #[must_use]
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let text = USUAL.replace_all(text, HIDDEN);
        match &self.unusual {
            Some(unusual) => match unusual.replace_all(&text, HIDDEN) {
                Cow::Borrowed(_) => text,
                Cow::Owned(redacted) => Cow::Owned(redacted),
            },
            None => text,
        }
    }
}

/// The accepted RCPT TO by which a message came here.
#[derive(Debug, Clone, Copy)]
pub enum Reached<'a> {
    /// Those of a mailbox.
    Mailbox(&'a [&'a Mailbox]),
    /// Those of a copy route.
    Route(&'a [&'a Mailbox]),
}

/// Recipients of `message`: To, Cc, Bcc with their types; then, as `bcc` where no header names them, those it reached.
/// For a copy these are the addresses that servers wrote down and the `+local=domain` detail of the route address, for
/// direct mail the mailboxes of the envelope; `told` is the true envelope where a mail server told it. Route addresses are
/// left out; the flag says whether one stood in To, Cc or Bcc.
#[must_use]
pub fn recipients(
    message: &Message,
    reached: Reached<'_>,
    told: &[&str],
    routes: &RouteAddresses,
) -> (Vec<CopyRecipient>, bool) {
    let mut set = RecipientSet::default();
    let mut is_route_visible = false;
    for (addresses, recipient_type) in
        [(&message.to, RecipientType::To), (&message.cc, RecipientType::Cc), (&message.bcc, RecipientType::Bcc)]
    {
        for address in addresses {
            if routes.contains(&address.address) {
                is_route_visible = true;
            } else {
                set.add(address, recipient_type);
            }
        }
    }
    if matches!(reached, Reached::Route(paths) if !paths.is_empty()) {
        for address in message.trace.delivered_to.iter().filter(|address| !routes.contains(&address.address)) {
            set.add_unnamed(address);
        }
    }
    let mailboxes: Vec<Option<Mailbox>> = match reached {
        Reached::Mailbox(paths) => paths.iter().map(|path| Some((*path).clone())).collect(),
        Reached::Route(paths) => paths.iter().map(|path| detail_address(path)).collect(),
    };
    for mailbox in mailboxes {
        if let Some(mailbox) = mailbox.filter(|mailbox| !routes.contains(&mailbox.to_string())) {
            let address = mailbox.to_string();
            set.add_unnamed(&HeaderAddress { address, mailbox: Some(mailbox), display_name: None });
        }
    }
    for &address in told.iter().filter(|address| !routes.contains(address)) {
        let mailbox = Mailbox::parse(address).ok();
        set.add_unnamed(&HeaderAddress { address: address.to_owned(), mailbox, display_name: None });
    }
    (set.recipients, is_route_visible)
}

/// The recipient that a copy rule put into the detail: `bcc-<token>+local=domain@…`.
fn detail_address(route: &Mailbox) -> Option<Mailbox> {
    let (_, detail) = route.split_detail();
    let (local, domain) = detail?.rsplit_once('=')?;
    // Where the local part needs quoting, the quotes are around all of the route's.
    let quoted = || Mailbox::parse(&format!("\"{}\"@{domain}", local.replace('\\', "\\\\").replace('"', "\\\"")));
    Mailbox::parse(&format!("{local}@{domain}")).or_else(|_| quoted()).ok()
}

/// Recipients in order, each once per type.
#[derive(Default)]
struct RecipientSet {
    recipients: Vec<CopyRecipient>,
    seen: HashSet<(String, RecipientType)>,
    named: HashSet<String>,
}

impl RecipientSet {
    fn add(&mut self, address: &HeaderAddress, recipient_type: RecipientType) {
        let key = address.mailbox.as_ref().map_or_else(|| address.address.clone(), Mailbox::key);
        self.named.insert(key.clone());
        if self.seen.insert((key, recipient_type)) {
            self.recipients.push(CopyRecipient {
                address: address.address.clone(),
                mailbox: address.mailbox.clone(),
                display_name: address.display_name.clone(),
                recipient_type,
                expanded_from: None,
                forwarded_from: None,
            });
        }
    }

    fn add_unnamed(&mut self, address: &HeaderAddress) {
        let key = address.mailbox.as_ref().map_or_else(|| address.address.clone(), Mailbox::key);
        if !self.named.contains(&key) {
            self.add(address, RecipientType::Bcc);
        }
    }
}

/// The address that a known rewriting stands for; `None` when it is none: SRS `SRS0=hash=time=domain=user@…`, Exchange
/// Online `x+SRS=hash=time=domain=user@…`, BATV `prvs=<10 characters>=user@…`.
#[must_use]
pub fn decode_rewritten(mailbox: &Mailbox) -> Option<Mailbox> {
    let local = mailbox.local();
    let upper = local.to_ascii_uppercase();
    if upper.starts_with("PRVS=") {
        let (_, user) = local.get(5..)?.split_once('=').filter(|(tag, _)| tag.len() == 10)?;
        return Mailbox::parse(&format!("{user}@{}", mailbox.domain())).ok();
    }
    let start = if upper.starts_with("SRS0=") || upper.starts_with("SRS0+") || upper.starts_with("SRS0-") {
        5
    } else {
        upper.find("+SRS=")? + 5
    };
    let mut parts = local.get(start..)?.splitn(4, '=').skip(2);
    let (domain, user) = (parts.next()?, parts.next()?);
    Mailbox::parse(&format!("{user}@{domain}")).ok()
}

/// Whether `domain` is one of the owned domains: equal to it, not below it.
#[must_use]
pub fn is_owned(domain: &Domain, owned: &[Domain]) -> bool {
    owned.contains(domain)
}

/// Direction of a message with this sender and these recipients.
#[must_use]
pub fn direction(sender: Option<&Domain>, recipients: &[CopyRecipient], owned: &[Domain]) -> Direction {
    let is_owned_recipient =
        |recipient: &CopyRecipient| recipient.mailbox.as_ref().is_some_and(|mailbox| is_owned(mailbox.domain(), owned));
    let is_owned_sender = sender.is_some_and(|sender| is_owned(sender, owned));
    match (is_owned_sender, recipients.is_empty()) {
        (_, true) => Direction::Unknown,
        (true, false) if recipients.iter().all(is_owned_recipient) => Direction::Internal,
        (true, false) => Direction::Outbound,
        (false, false) if recipients.iter().any(is_owned_recipient) => Direction::Inbound,
        (false, false) => Direction::Unknown,
    }
}

#[cfg(test)]
mod tests;
