//! Who really sent a message: SPF, DKIM, DMARC, ARC and iprev, from the bytes exactly as they were received.
//!
//! Everything is looked up at once, within one time budget. It never fails: what DNS could not tell in time is
//! `temperror`, what cannot be read is `permerror`, and neither is a reason to refuse or lose anything. It never changes
//! bytes, and it decides nothing: what follows from the results is the business of its callers.
//!
//! Standards: RFC 7208 (SPF), RFC 6376, RFC 8301 and RFC 8463 (DKIM), RFC 9989 (DMARC), RFC 8617 (ARC),
//! RFC 8601 §3 (iprev).
//!
//! # Security
//! A message chooses the names that are asked for. How many, how long, and how much of the message is read are bounded
//! here: signatures, header fields, sealers. Each protocol keeps its own records: one that was looked up for SPF is never
//! taken for a DMARC policy. A slow answer for one domain leaves time for the policy of another.

mod chain;
mod lookup;
mod readable;
mod signatures;
mod signed;
mod translate;

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use ipnet::IpNet;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DmarcOutput, MessageAuthenticator, Parameters, SpfOutput, SpfResult,
};
use tokio::time::{Instant, timeout_at};

use crate::dns::{DnsError, Resolver};
use crate::mail::address::Domain;
use crate::mail::authentication::{
    Authentication, AuthorDoubt, Claim, Claims, Identity, Method, MethodResult, Outcome, Voucher, VoucherKind,
};
use crate::mail::envelope::{Door, Manifest};
use crate::mail::message::Message;

use lookup::{Records, Single};

/// How messages are checked, and who else is believed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our name, as Authentication-Results fields give it.
    pub authserv_id: Domain,
    /// Of one message, all look-ups together.
    pub budget: Duration,
    /// DKIM signatures of one message that are checked; those of the author's domain go first.
    pub signatures: usize,
    /// Machines that hand over the mail of others: their address says nothing about the sender.
    pub relays: Vec<IpNet>,
    /// Forwarders whose Authentication-Results are believed.
    pub forwarders: Vec<Forwarder>,
    /// Domains whose ARC seals are believed.
    pub sealers: Vec<Domain>,
}

/// A forwarder whose Authentication-Results are believed, when it hands the message over itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarder {
    /// The name that it writes into them.
    pub authserv_id: Domain,
    /// Where it hands over from.
    pub network: IpNet,
}

/// Checks messages. Clones share one resolver and its cache, which is bounded.
#[derive(Clone)]
pub struct Authenticator {
    dns: Option<MessageAuthenticator>,
    resolver: Resolver,
    settings: Arc<Settings>,
    /// How many messages in a row got no answer from DNS at all.
    unanswered: Arc<AtomicU32>,
}

/// So many messages without any answer, and DNS counts as away: the next ones wait a tenth of their budget, until one is
/// answered. A long outage must not hold up mail that can be read without it.
const AWAY: u32 = 8;

impl Authenticator {
    /// Checks with what `resolver` can look up. With a scripted resolver nothing is checked.
    #[must_use]
    pub fn new(resolver: &Resolver, settings: Settings) -> Self {
        Self {
            dns: resolver.client().cloned().map(MessageAuthenticator),
            resolver: resolver.clone(),
            settings: Arc::new(settings),
            unanswered: Arc::default(),
        }
    }

    /// Our name in Authentication-Results fields.
    #[must_use]
    pub fn authserv_id(&self) -> &str {
        self.settings.authserv_id.as_str()
    }

    /// What can be shown about who sent `bytes`, which `message` is the view of. Takes the budget at most, and the time that
    /// the digests of the body take.
    pub async fn check(&self, bytes: &[u8], message: &Message, manifest: &Manifest) -> Authentication {
        let Some(dns) = &self.dns else { return Authentication::default() };
        // Keys of old mail are gone, and their absence shows nothing.
        if manifest.origin.door == Door::Import {
            return Authentication::default();
        }
        let until = Times::new(self.budget());
        let check = Check { dns, resolver: &self.resolver, settings: &self.settings, message, manifest, until };
        // The library reads hostile bytes; a fault in it must cost no more than this message's results.
        let found = AssertUnwindSafe(check.run(bytes)).catch_unwind().await;
        let authentication = found.unwrap_or_else(|_| {
            metrics::counter!("connex_task_panics_total", "task" => "authentication").increment(1);
            tracing::error!(message.id = %manifest.id, error.kind = "panic", "Message `{}` cannot be authenticated", manifest.id);
            let failed = MethodResult::new(Method::Dmarc, Outcome::Permerror, Identity::Author, "");
            Authentication::of(vec![failed.because("the message cannot be checked")], None, false)
        });
        self.note(&authentication);
        authentication
    }

    /// What the signatures of an original show that came inside another message: that a domain released these bytes once, and
    /// not who got them. Nothing else can be checked of it: which address handed it to whom is not known.
    pub async fn check_original(&self, bytes: &[u8], message: &Message, outer: &Manifest) -> Vec<MethodResult> {
        let Some(dns) = self.dns.as_ref().filter(|_| outer.origin.door != Door::Import) else { return Vec::new() };
        let until = Times::new(self.budget());
        let check = Check { dns, resolver: &self.resolver, settings: &self.settings, message, manifest: outer, until };
        let found = AssertUnwindSafe(check.signatures_alone(bytes)).catch_unwind().await;
        found.unwrap_or_else(|_| {
            metrics::counter!("connex_task_panics_total", "task" => "authentication").increment(1);
            tracing::error!(message.id = %outer.id, error.kind = "panic", "The original in message `{}` cannot be authenticated", outer.id);
            Vec::new()
        })
    }

    fn budget(&self) -> Duration {
        let is_away = self.unanswered.load(Ordering::Relaxed) >= AWAY;
        if is_away { self.settings.budget / 10 } else { self.settings.budget }
    }

    fn note(&self, authentication: &Authentication) {
        let has_trouble = authentication.results.iter().any(|result| result.result == Outcome::Temperror);
        let answered = |result: &MethodResult| match result.result {
            Outcome::Temperror | Outcome::Permerror | Outcome::Policy => false,
            // Nothing was there to ask about.
            Outcome::None => result.method == Method::Dmarc,
            _ => true,
        };
        if authentication.results.iter().any(answered) {
            self.unanswered.store(0, Ordering::Relaxed);
        } else if has_trouble {
            self.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        for result in &authentication.results {
            let (method, outcome) = (result.method.as_str(), result.result.as_str());
            metrics::counter!("connex_authentication_results_total", "method" => method, "result" => outcome)
                .increment(1);
        }
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authenticator").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Until when things are looked up. The policy has time of its own: whoever publishes slow records must not be able to hide
/// that the author's domain wants such mail refused.
#[derive(Debug, Clone, Copy)]
struct Times {
    records: Instant,
    policy: Instant,
}

impl Times {
    fn new(budget: Duration) -> Self {
        let now = Instant::now();
        Self { records: now + budget * 3 / 5, policy: now + budget }
    }
}

/// The check of one message.
struct Check<'a> {
    dns: &'a MessageAuthenticator,
    resolver: &'a Resolver,
    settings: &'a Settings,
    message: &'a Message,
    manifest: &'a Manifest,
    until: Times,
}

impl Check<'_> {
    async fn run(&self, bytes: &[u8]) -> Authentication {
        let claims = Claims::of(&self.message.trace.authentication_results);
        let forged = claims.has_forged(self.settings.authserv_id.as_str());
        let read = readable::read(bytes, self.settings.signatures, self.message);
        let author = self.author(read.as_ref().ok().map(|read| &read.message));
        let (keys, policies) = (Records::default(), Records::default());
        let names = read.as_ref().map(readable::Readable::key_names).unwrap_or_default();
        let nothing = (SpfOutput::default(), Vec::new());
        let (mail_from, helo, peer, (), ()) = tokio::join!(
            self.spf_of_mail_from(),
            self.spf_of_helo(),
            self.iprev(),
            lookup::keys(self.dns, &names, &keys, self.until.records),
            // Asked for now, so that it is there when SPF and DKIM are.
            async {
                if let (Ok(read), Ok(_)) = (&read, &author) {
                    self.policy(&read.message, &nothing.1, &nothing.0, &policies, self.until.records).await;
                }
            },
        );
        let mut results: Vec<MethodResult> = mail_from.result.into_iter().chain(helo).chain(peer).collect();
        let (mut voucher, mut signed_fields) = (None, Vec::new());
        match &read {
            Err(reason) => {
                results
                    .push(MethodResult::new(Method::Dkim, Outcome::Permerror, Identity::Signer, "").because(*reason));
            }
            Ok(read) => {
                let signatures = signatures::verify(self.dns, &read.message, &keys).await;
                let chain = chain::verify(self.dns, &read.message, &keys).await;
                let is_worth_it = signatures::is_body_at_fault(&signatures) || chain::is_body_at_fault(&chain);
                let trimmed = is_worth_it.then(|| readable::trimmed(bytes, read)).flatten();
                let signatures = signatures::again(self.dns, signatures, trimmed.as_ref(), &keys).await;
                let chain = chain::again(self.dns, chain, trimmed.as_ref(), &keys).await;
                let (told, counted) = signatures::judge(signatures, &keys);
                signed_fields = signed::fields(&read.message, &counted, &chain);
                results.extend(signatures::told(read, told));
                results.extend(chain::judge(&chain, read.arc_refused));
                let sealers = &self.settings.sealers;
                let sealed = author.as_ref().ok().and_then(|author| chain::voucher(&chain, author, sealers));
                if let Ok(author) = &author {
                    let until = self.until.policy;
                    let output = self.policy(&read.message, &counted, &mail_from.output, &policies, until).await;
                    let dmarc = translate::dmarc(output.as_ref(), author, self.is_relayed());
                    if dmarc.result != Outcome::Pass {
                        voucher = sealed.or_else(|| self.forwarder(&claims, author));
                    }
                    results.push(dmarc);
                }
            }
        }
        if let Err(doubt) = &author {
            let refused = MethodResult::new(Method::Dmarc, Outcome::Permerror, Identity::Author, "");
            results.push(refused.because(doubt.reason()));
        } else if read.is_err() {
            let refused = MethodResult::new(Method::Dmarc, Outcome::Permerror, Identity::Author, "");
            results.push(refused.because("the header cannot be checked"));
        }
        Authentication { signed_fields, ..Authentication::of(results, voucher, forged) }
    }

    async fn signatures_alone(&self, bytes: &[u8]) -> Vec<MethodResult> {
        let read = match readable::read(bytes, self.settings.signatures, self.message) {
            Ok(read) => read,
            Err(reason) => {
                return vec![MethodResult::new(Method::Dkim, Outcome::Permerror, Identity::Signer, "").because(reason)];
            }
        };
        let keys = Records::default();
        lookup::keys(self.dns, &read.key_names(), &keys, self.until.policy).await;
        let signatures = signatures::verify(self.dns, &read.message, &keys).await;
        let is_worth_it = signatures::is_body_at_fault(&signatures);
        let trimmed = is_worth_it.then(|| readable::trimmed(bytes, &read)).flatten();
        let signatures = signatures::again(self.dns, signatures, trimmed.as_ref(), &keys).await;
        let (told, _) = signatures::judge(signatures, &keys);
        signatures::told(&read, told)
    }

    /// The author's domain, where both readers agree that there is exactly one.
    fn author(&self, read: Option<&AuthenticatedMessage<'_>>) -> Result<Domain, AuthorDoubt> {
        if let Some(doubt) = self.message.author_doubt() {
            return Err(doubt);
        }
        let mailbox = self.message.author.as_ref().and_then(|author| author.mailbox.as_ref());
        let domain = mailbox.ok_or(AuthorDoubt::Missing)?.domain();
        // A domain without a dot is nobody's to publish a policy for, and an address literal is no domain.
        if domain.as_str().starts_with('[') {
            return Err(AuthorDoubt::Obscured);
        }
        let is_same = |address: &String| {
            address.rsplit_once('@').is_some_and(|(_, other)| Domain::parse(other).is_ok_and(|other| other == *domain))
        };
        match read {
            Some(read) if read.from.is_empty() || !read.from.iter().all(is_same) => Err(AuthorDoubt::Obscured),
            _ => Ok(domain.clone()),
        }
    }

    /// The address by which the sender is judged.
    fn peer(&self) -> Option<IpAddr> {
        self.manifest.client().address
    }

    /// Whether the peer hands over the mail of others: then nothing is known of the sender's address.
    fn is_relayed(&self) -> bool {
        let origin = &self.manifest.origin;
        let is_senders_door = match origin.door {
            Door::Smtp | Door::Smtps | Door::Milter => true,
            Door::Http => origin.client.is_some(),
            Door::Lmtp | Door::Inject | Door::Import | Door::Submission | Door::Submissions => false,
        };
        let is_relay = |peer: IpAddr| self.settings.relays.iter().any(|network| network.contains(&peer));
        !is_senders_door || self.peer().is_none_or(is_relay)
    }

    async fn spf_of_mail_from(&self) -> MailFrom {
        let (helo, authserv_id) = (self.manifest.client().helo, self.settings.authserv_id.as_str());
        let Some(mailbox) = self.manifest.envelope.reverse_path.mailbox() else {
            if !self.manifest.has_null_reverse_path() {
                // Only its mail server can read that address, and it has a domain that nobody knows.
                let result = translate::spf(&SpfOutput::default(), Identity::MailFrom, "", self.is_relayed());
                return MailFrom { result: Some(result), output: SpfOutput::default() };
            }
            // RFC 7208 §2.4: the null reverse-path stands for postmaster at the name of HELO.
            let output = self.spf(helo, |peer| SpfParameters::verify_ehlo(peer, helo, authserv_id)).await;
            return MailFrom { result: Some(translate::spf(&output, Identity::Helo, helo, self.is_relayed())), output };
        };
        let (sender, domain) = (mailbox.to_string(), mailbox.domain().as_str());
        let parameters = |peer| SpfParameters::verify_mail_from(peer, helo, authserv_id, &sender);
        let output = self.spf(domain, parameters).await;
        MailFrom { result: Some(translate::spf(&output, Identity::MailFrom, domain, self.is_relayed())), output }
    }

    /// Of HELO only what says something is told.
    async fn spf_of_helo(&self) -> Option<MethodResult> {
        self.manifest.envelope.reverse_path.mailbox()?;
        let (helo, authserv_id) = (self.manifest.client().helo, self.settings.authserv_id.as_str());
        let output = self.spf(helo, |peer| SpfParameters::verify_ehlo(peer, helo, authserv_id)).await;
        (output.result() != SpfResult::None).then(|| translate::spf(&output, Identity::Helo, helo, false))
    }

    /// Works out the record of `domain`, and again where a record that it led to is not the only one of its name.
    async fn spf<'p>(&self, domain: &str, parameters: impl Fn(IpAddr) -> SpfParameters<'p>) -> SpfOutput {
        let nothing = SpfOutput::new(domain.to_owned());
        let Some(peer) = self.peer().filter(|_| !self.is_relayed() && !domain.starts_with('[')) else {
            return nothing;
        };
        let records = Records::default();
        let verify = async {
            loop {
                let output = self.dns.verify_spf(Parameters::new(parameters(peer)).with_txt_cache(&records)).await;
                if lookup::are_single(self.resolver, &records, Single::Spf).await? {
                    return Ok::<_, DnsError>(output);
                }
            }
        };
        match timeout_at(self.until.records, verify).await {
            Ok(Ok(output)) => output,
            _ => nothing.with_result(SpfResult::TempError),
        }
    }

    async fn iprev(&self) -> Option<MethodResult> {
        let peer = self.peer().filter(|_| !self.is_relayed())?;
        let found = timeout_at(self.until.records, lookup::peer_name(self.dns, peer)).await;
        Some(translate::iprev(found.unwrap_or(lookup::PeerName::Unanswered)))
    }

    /// `None` where there was no time, or no answer.
    async fn policy<'m>(
        &self,
        message: &'m AuthenticatedMessage<'m>,
        signatures: &'m [DkimOutput<'m>],
        spf: &'m SpfOutput,
        policies: &'m Records,
        until: Instant,
    ) -> Option<DmarcOutput> {
        let verify = async {
            loop {
                let parameters = DmarcParameters::new(message, signatures, spf.domain(), spf);
                let output = self.dns.verify_dmarc(Parameters::new(parameters).with_txt_cache(policies)).await;
                if lookup::are_single(self.resolver, policies, Single::Dmarc).await? {
                    return Ok::<_, DnsError>(output);
                }
            }
        };
        timeout_at(until, verify).await.ok()?.ok()
    }

    /// A listed forwarder that hands the message over itself, and found that DMARC passed.
    fn forwarder(&self, claims: &Claims, author: &Domain) -> Option<Voucher> {
        let peer = self.peer()?;
        let is_here = |forwarder: &&Forwarder| forwarder.network.contains(&peer);
        self.settings.forwarders.iter().filter(is_here).find_map(|forwarder| {
            let id = forwarder.authserv_id.as_str();
            claims.by(id).filter(|claim: &&Claim| claim.has_dmarc_pass_for(author.as_str()))?;
            let reason = format!("the listed forwarder {id} found dmarc=pass for {author} when it took the message");
            Some(Voucher { by: VoucherKind::AuthservId, id: id.to_owned(), reason })
        })
    }
}

/// SPF of the reverse-path, as it is told and as DMARC takes it.
struct MailFrom {
    result: Option<MethodResult>,
    output: SpfOutput,
}

#[cfg(test)]
mod tests;
