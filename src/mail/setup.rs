//! The records that a tenant's domain needs in DNS, and how those that stand there compare. Pure: it never asks.
//!
//! What DNS did not tell is unknown, and never missing. Nothing is called for that this gateway has no use for.
//!
//! Standards: RFC 1035 §5.1 (lines of a zone), RFC 5321 §5.1 (MX), RFC 7208 §4.5 (SPF), RFC 9989 §4.10 (DMARC), RFC 8461 §3.1
//! (MTA-STS), RFC 8460 §3 (TLS-RPT), RFC 8552 (records about a name stand at a name with an underscore below it).

pub mod bounces;

use serde::Serialize;

use super::address::Domain;

/// Records of one question that are shown at most.
const SHOWN: usize = 20;
/// Octets of one string of a text (RFC 1035 §3.3.14).
const STRING: usize = 255;

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Proof that the tenant may claim the domain.
    Ownership,
    /// Mail for the domain comes here.
    Mx,
    /// Which servers send for the domain.
    Spf,
    /// Keys that its mail is signed with.
    Dkim,
    /// What becomes of mail that only pretends to be the domain's.
    Dmarc,
    /// Mail for the domain comes by TLS alone.
    MtaSts,
    /// Where failures of TLS are reported.
    TlsRpt,
    /// Reports about its mail come here.
    BounceHost,
}

impl Purpose {
    /// Its word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ownership => "ownership",
            Self::Mx => "mx",
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Dmarc => "dmarc",
            Self::MtaSts => "mta_sts",
            Self::TlsRpt => "tls_rpt",
            Self::BounceHost => "bounce_host",
        }
    }
}

/// How what stands in DNS compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It stands there.
    Ok,
    /// Nothing of the kind stands there.
    Missing,
    /// Something else stands there.
    Differs,
    /// The domain does not need it here.
    NotNeeded,
    /// DNS did not say.
    Unknown,
}

impl Standing {
    /// Its word in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Differs => "differs",
            Self::NotNeeded => "not_needed",
            Self::Unknown => "unknown",
        }
    }
}

/// One record: what is expected of it, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What it is for.
    pub record: Purpose,
    /// Where it stands, with the final dot; empty where no place is known.
    pub name: String,
    /// `TXT` or `MX`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What it should say, for people.
    pub expected: String,
    /// What stands there, as in a zone file.
    pub found: Vec<String>,
    /// How they compare.
    pub standing: Standing,
    /// What to know about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Lines for the zone of which any one sets the record (RFC 1035 §5.1); none where a line alone would not do.
    pub zone_lines: Vec<String>,
}

/// What the records are to be held against.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The domain.
    pub domain: &'a Domain,
    /// What proves it; empty where it was taken without proof.
    pub proof: &'a str,
    /// Names of this gateway, the one for MX first.
    pub hosts: &'a [String],
    /// Whether the domain has mailboxes here.
    pub takes_mail: bool,
    /// Keys that sign for the domain here.
    pub keys: &'a [KeyRecord],
}

/// A key that signs for a domain, as it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Where its record stands, with the final dot.
    pub name: String,
    /// The record.
    pub record: String,
}

/// What DNS said to one question; `None` where it did not.
pub type Told<T> = Option<Vec<T>>;

/// What stands in DNS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Texts where the proof stands.
    pub proof_texts: Told<String>,
    /// Targets of an alias there.
    pub proof_aliases: Told<String>,
    /// Preference and name of each mail server.
    pub exchangers: Told<(u16, String)>,
    /// Texts of the domain itself.
    pub texts: Told<String>,
    /// Texts at `_dmarc`, with the domain above which it stands: the domain itself first, then those above as far as was asked.
    pub policies: Vec<(String, Told<String>)>,
    /// Texts at `_mta-sts`.
    pub mta_sts: Told<String>,
    /// Texts at `_smtp._tls`.
    pub tls_rpt: Told<String>,
    /// Texts where the record of each key stands, in the order of the keys.
    pub keys: Vec<Told<String>>,
}

/// Where the proof of a domain stands (RFC 8552).
#[must_use]
pub fn proof_name(domain: &str) -> String {
    format!("_connex.{domain}.")
}

/// What an alias (CNAME) must lead to in order to prove a domain, where no text can be set: the proof as the first label of a
/// name of this gateway. It need not exist.
#[must_use]
pub fn proof_target(proof: &str, host: &str) -> String {
    format!("{}.{}.", token(proof), host.trim_end_matches('.'))
}

/// Whether a text or an alias is the proof. Of an alias the first label counts alone: it is the secret, and what follows is a
/// name of the gateway, which may change.
#[must_use]
pub fn is_proof(proof: &str, texts: &[String], aliases: &[String]) -> bool {
    let token = token(proof);
    let is_it = |alias: &String| alias.split('.').next().is_some_and(|label| label.eq_ignore_ascii_case(token));
    !token.is_empty() && (texts.iter().any(|text| text == proof) || aliases.iter().any(is_it))
}

fn token(proof: &str) -> &str {
    proof.split_once('=').map_or(proof, |(_, token)| token)
}

/// Holds every record against what is wanted.
#[must_use]
pub fn compare(wanted: &Wanted<'_>, held: &Held) -> Vec<Check> {
    let mut checks = vec![ownership(wanted, held), exchangers(wanted, held), spf(wanted, held)];
    checks.extend(keys(wanted, held));
    checks.extend([dmarc(wanted, held), mta_sts(wanted, held), tls_rpt(wanted, held)]);
    checks
}

fn ownership(wanted: &Wanted<'_>, held: &Held) -> Check {
    let name = proof_name(wanted.domain.as_str());
    let (texts, aliases) = (held.proof_texts.as_deref(), held.proof_aliases.as_deref());
    let mut found = quoted_all(texts.unwrap_or_default());
    found.extend(aliases.unwrap_or_default().iter().map(|target| format!("CNAME {target}")));
    let is_there = is_proof(wanted.proof, texts.unwrap_or_default(), aliases.unwrap_or_default());
    let standing = match (texts, aliases) {
        _ if wanted.proof.is_empty() => Standing::NotNeeded,
        _ if is_there => Standing::Ok,
        // Either alone would do: one that is not told may be it.
        (None, _) | (_, None) => Standing::Unknown,
        _ if found.is_empty() => Standing::Missing,
        _ => Standing::Differs,
    };
    if standing == Standing::NotNeeded {
        return check(Purpose::Ownership, name, "TXT", found, standing).noting("taken without proof");
    }
    let mut zone_lines = vec![text_line(&name, wanted.proof)];
    if let Some(host) = wanted.hosts.first() {
        zone_lines.push(format!("{name} IN CNAME {}", proof_target(wanted.proof, host)));
    }
    let check = check(Purpose::Ownership, name, "TXT", found, standing).expecting(quoted(wanted.proof));
    Check { zone_lines, ..check }
}

fn exchangers(wanted: &Wanted<'_>, held: &Held) -> Check {
    let name = format!("{}.", wanted.domain);
    let told = held.exchangers.as_deref();
    let found = told.unwrap_or_default().iter().map(|(preference, host)| format!("{preference} {host}")).collect();
    let best = told.unwrap_or_default().iter().map(|(preference, _)| *preference).min();
    let is_ours = |host: &str| {
        let host = host.trim_end_matches('.');
        wanted.hosts.iter().any(|own| own.trim_end_matches('.').eq_ignore_ascii_case(host))
    };
    let standing = match told {
        _ if !wanted.takes_mail => Standing::NotNeeded,
        None => Standing::Unknown,
        Some([]) => Standing::Missing,
        // RFC 5321 §5.1: senders go to those of the lowest number, in any order.
        Some(all) if all.iter().filter(|(value, _)| Some(*value) == best).all(|(_, host)| is_ours(host)) => {
            Standing::Ok
        }
        Some(_) => Standing::Differs,
    };
    let check = check(Purpose::Mx, name, "MX", found, standing);
    let Some(host) = wanted.hosts.first().filter(|_| wanted.takes_mail) else {
        return check.noting("the domain has no mailboxes here");
    };
    let line = format!("{} IN MX 10 {}.", check.name, host.trim_end_matches('.'));
    let check = Check { zone_lines: vec![line], ..check }.expecting(format!("10 {}.", host.trim_end_matches('.')));
    match standing {
        Standing::Differs => check.noting("mail goes elsewhere first: no other mail server may have as low a number"),
        _ => check,
    }
}

fn spf(wanted: &Wanted<'_>, held: &Held) -> Check {
    let name = format!("{}.", wanted.domain);
    // RFC 7208 §4.5: other texts of the domain are none of it.
    let is_record = |text: &&String| {
        text.get(..6).is_some_and(|tag| tag.eq_ignore_ascii_case("v=spf1"))
            && text.get(6..).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let records: Option<Vec<String>> = held.texts.as_ref().map(|all| all.iter().filter(is_record).cloned().collect());
    let is_open = |record: &str| {
        record.split_ascii_whitespace().any(|term| ["all", "+all"].iter().any(|all| term.eq_ignore_ascii_case(all)))
    };
    let (standing, note) = match records.as_deref() {
        None => (Standing::Unknown, None),
        Some([]) => (
            Standing::Missing,
            Some(
                "name the servers that send for the domain, with ip4:, ip6: or include:; mx names this gateway only where the domain's mail comes here",
            ),
        ),
        Some([one]) if is_open(one) => (Standing::Differs, Some("it lets everybody send for the domain")),
        Some([_]) => (Standing::Ok, None),
        Some(_) => (Standing::Differs, Some("several records count as none: make them one")),
    };
    let line = (standing == Standing::Missing).then(|| text_line(&name, "v=spf1 mx ~all"));
    let check = check(Purpose::Spf, name, "TXT", quoted_all(records.as_deref().unwrap_or_default()), standing);
    Check { note: note.map(Into::into), zone_lines: line.into_iter().collect(), ..check }
        .expecting("one text that begins with v=spf1 and names your own senders".to_owned())
}

/// One for each key that signs here.
fn keys(wanted: &Wanted<'_>, held: &Held) -> Vec<Check> {
    if wanted.keys.is_empty() {
        let none = check(Purpose::Dkim, String::new(), "TXT", Vec::new(), Standing::NotNeeded);
        return vec![none.noting("nothing is signed for the domain here; keys of your other senders are theirs")];
    }
    let told = held.keys.iter().map(Option::as_deref).chain(std::iter::repeat(None));
    wanted.keys.iter().zip(told).map(|(key, told)| published(key, told)).collect()
}

fn published(key: &KeyRecord, told: Option<&[String]>) -> Check {
    let standing = match told {
        None => Standing::Unknown,
        Some([]) => Standing::Missing,
        Some(texts) if is_published(&key.record, texts) => Standing::Ok,
        Some(_) => Standing::Differs,
    };
    let check = check(Purpose::Dkim, key.name.clone(), "TXT", quoted_all(told.unwrap_or_default()), standing);
    Check { zone_lines: vec![text_line(&key.name, &key.record)], ..check }.expecting(quoted(&key.record))
}

/// Where the record of a key stands (RFC 6376 §3.6.2.1).
#[must_use]
pub fn key_name(selector: &str, domain: &str) -> String {
    format!("{selector}._domainkey.{domain}.")
}

/// Whether the texts at a key's name are its record. Several are undefined (RFC 6376 §3.6.2.2): one of it alone is right.
#[must_use]
pub fn is_published(record: &str, texts: &[String]) -> bool {
    let wanted = public_key(record);
    wanted.is_some() && matches!(texts, [only] if public_key(only) == wanted)
}

/// The `k=` and `p=` tags of a record (RFC 6376 §3.6.1), without white space; `None` without a key.
fn public_key(record: &str) -> Option<(String, String)> {
    let tag = |wanted: &str| {
        let tags = record.split(';').filter_map(|tag| tag.split_once('='));
        let mut values = tags.filter(|(name, _)| name.trim() == wanted).map(|(_, value)| value);
        let value = values.next()?;
        Some(value.chars().filter(|letter| !letter.is_whitespace()).collect::<String>())
    };
    Some((tag("k").unwrap_or_else(|| "rsa".to_owned()), tag("p").filter(|key| !key.is_empty())?))
}

fn dmarc(wanted: &Wanted<'_>, held: &Held) -> Check {
    let own = format!("_dmarc.{}.", wanted.domain);
    // RFC 9989 §4.10: where a domain has no policy, the nearest one above it has.
    let mut found = None;
    for (above, told) in &held.policies {
        let records: Option<Vec<String>> =
            told.as_ref().map(|all| all.iter().filter(|text| is_of_version(text, "DMARC1")).cloned().collect());
        let is_end = records.as_ref().is_none_or(|records| !records.is_empty());
        found = Some((above, records));
        if is_end {
            break;
        }
    }
    let (above, records) = found.map_or((None, None), |(above, records)| (Some(above), records));
    let is_policy = |record: &str| {
        let is_known =
            |word: &str| ["none", "quarantine", "reject"].iter().any(|known| word.eq_ignore_ascii_case(known));
        tag(record, "p").is_none_or(is_known)
    };
    let inherited =
        above.filter(|above| above.as_str() != wanted.domain.as_str()).map(|above| format!("it stands at {above}"));
    let (standing, note) = match records.as_deref() {
        None => (Standing::Unknown, None),
        Some([]) => (Standing::Missing, None),
        Some([one]) if is_policy(one) => (Standing::Ok, inherited),
        Some([_]) => (Standing::Differs, Some("its p is none of none, quarantine and reject".to_owned())),
        Some(_) => (Standing::Differs, Some("several records count as none: keep one".to_owned())),
    };
    let zone_lines = vec![text_line(&own, "v=DMARC1; p=none")];
    let check = check(Purpose::Dmarc, own, "TXT", quoted_all(records.as_deref().unwrap_or_default()), standing);
    Check { note, zone_lines, ..check }.expecting("one text that begins with v=DMARC1".to_owned())
}

fn mta_sts(wanted: &Wanted<'_>, held: &Held) -> Check {
    let name = format!("_mta-sts.{}.", wanted.domain);
    // RFC 8461 §3.1
    let is_right = |record: &str| {
        tag(record, "id")
            .is_some_and(|id| (1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    let check =
        versioned(wanted, held.mta_sts.as_deref(), (Purpose::MtaSts, &name), "STSv1", "v=STSv1; id=1", is_right);
    match check.standing {
        Standing::Missing | Standing::Differs => check.noting(&format!(
            "only together with a policy at https://mta-sts.{}/.well-known/mta-sts.txt, which this gateway does not serve; \
             the id changes with the policy",
            wanted.domain
        )),
        _ => check,
    }
}

fn tls_rpt(wanted: &Wanted<'_>, held: &Held) -> Check {
    let name = format!("_smtp._tls.{}.", wanted.domain);
    // RFC 8460 §3
    let is_right = |record: &str| {
        tag(record, "rua").is_some_and(|rua| {
            rua.split(',').all(|uri| {
                let uri = uri.trim();
                uri.starts_with("mailto:") || uri.starts_with("https:")
            })
        })
    };
    let value = format!("v=TLSRPTv1; rua=mailto:postmaster@{}", wanted.domain);
    versioned(wanted, held.tls_rpt.as_deref(), (Purpose::TlsRpt, &name), "TLSRPTv1", &value, is_right)
}

/// A text of which there may be one, which begins with its version, and which only a domain with mailboxes here needs.
fn versioned(
    wanted: &Wanted<'_>,
    told: Option<&[String]>,
    (purpose, name): (Purpose, &str),
    version: &str,
    value: &str,
    is_right: impl Fn(&str) -> bool,
) -> Check {
    let records: Option<Vec<String>> =
        told.map(|all| all.iter().filter(|text| is_of_version(text, version)).cloned().collect());
    let standing = match records.as_deref() {
        _ if !wanted.takes_mail => Standing::NotNeeded,
        None => Standing::Unknown,
        Some([one]) if is_right(one) => Standing::Ok,
        Some([]) if told.is_none_or(<[String]>::is_empty) => Standing::Missing,
        Some(_) => Standing::Differs,
    };
    let check = check(purpose, name.to_owned(), "TXT", quoted_all(told.unwrap_or_default()), standing);
    if standing == Standing::NotNeeded {
        return check.noting("the domain has no mailboxes here");
    }
    Check { zone_lines: vec![text_line(name, value)], ..check }.expecting(format!("one text like {}", quoted(value)))
}

/// Whether a text is `v=VERSION`, alone or in front of a semicolon.
fn is_of_version(text: &str, version: &str) -> bool {
    let first = text.split(';').next().unwrap_or_default();
    first.split_once('=').is_some_and(|(name, value)| name.trim() == "v" && value.trim() == version)
}

/// The value of a tag in a list of `name=value` with semicolons.
fn tag<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    let mut pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == wanted).map(|(_, value)| value.trim())
}

fn check(record: Purpose, name: String, kind: &'static str, found: Vec<String>, standing: Standing) -> Check {
    let found = found.into_iter().take(SHOWN).collect();
    Check { record, name, kind, expected: String::new(), found, standing, note: None, zone_lines: Vec::new() }
}

impl Check {
    fn expecting(self, expected: String) -> Self {
        Self { expected, ..self }
    }

    fn noting(self, note: &str) -> Self {
        Self { note: Some(note.to_owned()), ..self }
    }
}

fn quoted_all(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| quoted(text)).collect()
}

/// A text as in a zone file (RFC 1035 §5.1): strings of at most 255 octets each (§3.3.14).
fn quoted(text: &str) -> String {
    let mut strings: Vec<String> = vec![String::new()];
    for letter in text.chars() {
        match strings.last_mut() {
            Some(last) if last.len() + letter.len_utf8() <= STRING => last.push(letter),
            _ => strings.push(letter.into()),
        }
    }
    let quoted = |text: String| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    strings.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn text_line(name: &str, text: &str) -> String {
    format!("{name} IN TXT {}", quoted(text))
}

#[cfg(test)]
mod tests;
