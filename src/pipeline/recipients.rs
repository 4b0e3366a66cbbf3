//! Whom a forward-path names here: mailboxes, intake routes by their token, and the operator's postmaster and abuse.
//!
//! Answers are kept for a second, so that a busy sender costs one look-up, and so do many at once; a change by an operator
//! is seen within that.
//! An unknown address and an unknown token take the same path and get the same answer.
//!
//! Standards: RFC 5321 §4.5.1 (postmaster), RFC 2142 §4 (abuse).

pub(super) mod callers;
mod certificates;
pub(super) mod ranges;
mod refused;
mod strangers;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::clock::Timestamp;
use crate::dns::Resolver;
use crate::ids::{MailboxId, OPERATOR, TenantId};
use crate::intake::{AuthenticationAnswer, Credentials, ForwardName, Intake, RecipientAnswer, RecipientQuery};
use crate::keys::Pepper;
use crate::mail::address::{Domain, Mailbox};
use crate::mail::authentication::FailurePolicy;
use crate::mail::bounce_path::bounce_path;
use crate::mail::envelope::{Origin, Recipient};
use crate::service::tokens::{TOKEN_LETTERS, token_hash};
use crate::store::directory::{MailboxRow, NewMailbox};
use crate::store::domains::DomainOwner;
use crate::store::routes::{FoundRoute, RouteRow, RouteState};
use crate::store::watch::Alarm;
use crate::store::{Store, StoreError};
use callers::Callers;
use certificates::Certificates;
use ranges::Ranges;
use refused::{Note, Refused};
use strangers::Strangers;

pub use callers::GuessSettings;
pub use strangers::StrangerSettings;

/// How long a suspended recipient's mail is asked to wait with its sender; after that it is refused.
const GRACE: Duration = Duration::from_secs(3 * 24 * 3600);
/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(1);
/// How long it is known that a mailbox refuses: longer than any transaction takes.
const REFUSING_KEPT: Duration = Duration::from_secs(3_600);
/// How many answers are kept.
const ANSWERS: u64 = 50_000;
/// Local parts that every domain has that takes mail (RFC 5321 §4.5.1, RFC 2142 §4).
const ROLES: [&str; 2] = ["postmaster", "abuse"];

/// The look-up, with its cache.
#[derive(Debug, Clone)]
pub struct Recipients {
    store: Store,
    platform_domains: Vec<Domain>,
    found: moka::future::Cache<String, Found>,
    /// Mailboxes that were asked for lately, and refuse mail that fails DMARC.
    refusing: moka::sync::Cache<MailboxId, ()>,
    strangers: Strangers,
    callers: Callers,
    certificates: Certificates,
    refused: Refused,
    ranges: Ranges,
    journal_size: u64,
}

/// What the look-up goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientSettings {
    /// Domains that this instance takes mail for.
    pub platform_domains: Vec<Domain>,
    /// Peers that a route does not name.
    pub strangers: StrangerSettings,
    /// Wrong credentials.
    pub guesses: GuessSettings,
    /// Octets of a message that a journal route takes, where it does not say otherwise.
    pub journal_size: u64,
}

/// What stands in the directory under one address.
#[derive(Debug, Clone)]
enum Found {
    Nobody,
    /// The domain is nobody's here.
    Foreign,
    Mailbox {
        recipient: Recipient,
        suspended_since: Option<Timestamp>,
    },
    /// A reverse-path of ours, which takes reports alone.
    Path {
        recipient: Recipient,
        suspended_since: Option<Timestamp>,
    },
    Route {
        row: Box<RouteRow>,
        suspended_since: Option<Timestamp>,
        retired_at: Option<Timestamp>,
    },
}

impl Recipients {
    /// Looks recipients up in `store`, and keys by their digest under `pepper`.
    #[must_use]
    pub fn new(store: Store, pepper: Pepper, settings: RecipientSettings) -> Self {
        let RecipientSettings { platform_domains, strangers, guesses, journal_size } = settings;
        let found = moka::future::Cache::builder().max_capacity(ANSWERS).time_to_live(KEPT).build();
        let refusing = moka::sync::Cache::builder().max_capacity(ANSWERS).time_to_live(REFUSING_KEPT).build();
        let strangers = Strangers::new(store.clone(), strangers);
        let callers = Callers::new(store.clone(), pepper, guesses);
        let certificates = Certificates::new(store.clone());
        let refused = Refused::new(store.clone());
        let ranges = Ranges::new(store.clock().clone(), None);
        Self {
            store,
            platform_domains,
            found,
            refusing,
            strangers,
            callers,
            certificates,
            refused,
            ranges,
            journal_size,
        }
    }

    /// The same, looking the networks of providers up.
    #[must_use]
    pub fn resolving(self, resolver: Resolver) -> Self {
        Self { ranges: Ranges::new(self.store.clock().clone(), Some(resolver)), ..self }
    }

    /// Who is who at every door: guesses at one count at the others.
    pub(super) fn callers(&self) -> Callers {
        self.callers.clone()
    }

    /// Makes sure that postmaster and abuse of every platform domain exist, owned by the operator's tenant.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn ensure_operator(&self) -> Result<(), StoreError> {
        match self.store.add_tenant_as(OPERATOR, "operator").await {
            Ok(()) | Err(StoreError::Exists(_)) => {}
            Err(error) => return Err(error),
        }
        for domain in &self.platform_domains {
            for local in ROLES {
                let Ok(address) = Mailbox::parse(&format!("{local}@{domain}")) else { continue };
                if self.store.mailbox_by_address(&address.key()).await?.is_some() {
                    continue;
                }
                let mailbox = NewMailbox {
                    address,
                    app: None,
                    identity_owner: "connex".into(),
                    reply_policy: "human_approval".into(),
                    external_reply_url: None,
                };
                match self.store.for_tenant(OPERATOR).add_mailbox(mailbox).await {
                    Ok(_) | Err(StoreError::Exists(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Whether a mailbox refuses mail that fails DMARC, as it was when it was last asked for. From memory.
    #[must_use]
    pub fn refuses_failures(&self, mailbox: MailboxId) -> bool {
        self.refusing.contains_key(&mailbox)
    }

    async fn find(&self, address: &Mailbox) -> Result<Found, Arc<StoreError>> {
        let key = address.key_without_detail();
        let look_up = async {
            match self.route_token(address) {
                Some((prefix, token)) => self.find_route(prefix, token).await,
                None if self.platform_domains.contains(address.domain()) => self.find_mailbox(&key, None).await,
                None => match self.find_delegated(address, &key).await? {
                    Some(found) => Ok(found),
                    None => self.find_on_owned(address, &key).await,
                },
            }
        };
        // However many ask for one address at the same time: the store is asked once.
        self.found.try_get_with_by_ref(&key, look_up).await
    }

    /// On a domain that a tenant has proven: its own mailbox there, or the one that takes everything else. Where the domain
    /// is suspended they are, too.
    async fn find_on_owned(&self, address: &Mailbox, key: &str) -> Result<Found, StoreError> {
        let domain = address.domain();
        let Some(DomainOwner { tenant, suspended_since: of_domain }) = self.store.owner_of_domain(domain).await? else {
            return Ok(Found::Foreign);
        };
        let mut found = self.find_mailbox(key, Some(tenant)).await?;
        if matches!(found, Found::Nobody) {
            found = self.find_mailbox(&catch_all_key(domain), Some(tenant)).await?;
        }
        if matches!(found, Found::Nobody)
            && is_role(key)
            && self.store.for_tenant(tenant).has_mailboxes_on(domain).await?
        {
            found = self.operators_postmaster().await?;
        }
        if let Found::Mailbox { suspended_since, .. } = &mut found {
            *suspended_since = earliest(*suspended_since, of_domain);
        }
        Ok(found)
    }

    /// On a host to which reports are delegated: the mailbox whose message it is that the reverse-path was made for, or the
    /// operator. `None` for all else.
    async fn find_delegated(&self, address: &Mailbox, key: &str) -> Result<Option<Found>, StoreError> {
        if let Some(path) = bounce_path(address)
            && let Some((tenant, mailbox)) = self.store.sender_by_reverse_path(&path).await?
        {
            return Ok(Some(match self.find_mailbox(&mailbox, Some(tenant)).await? {
                Found::Mailbox { recipient, suspended_since } => Found::Path { recipient, suspended_since },
                other => other,
            }));
        }
        // Where the host has mailboxes of its own as well, it has postmasters, too.
        let is_role_there = is_role(key)
            && self.store.owner_of_domain(address.domain()).await?.is_none()
            && self.store.is_bounce_host(address.domain()).await?;
        Ok(if is_role_there { Some(self.operators_postmaster().await?) } else { None })
    }

    /// Where mail goes that must be taken (RFC 5321 §4.5.1) and that the tenant has no mailbox for.
    async fn operators_postmaster(&self) -> Result<Found, StoreError> {
        let domain = self.platform_domains.first();
        match domain.and_then(|domain| Mailbox::parse(&format!("postmaster@{domain}")).ok()) {
            Some(address) => self.find_mailbox(&address.key(), Some(OPERATOR)).await,
            None => Ok(Found::Nobody),
        }
    }

    /// The mailbox with this key, where it is the owner's.
    async fn find_mailbox(&self, key: &str, owner: Option<TenantId>) -> Result<Found, StoreError> {
        let found = self.store.mailbox_by_address(key).await?;
        let Some((row, tenant_suspended)) = found.filter(|(row, _)| owner.is_none_or(|owner| row.tenant == owner))
        else {
            return Ok(Found::Nobody);
        };
        let MailboxRow { tenant, id, state, state_since, authentication_policy, .. } = row;
        if authentication_policy == FailurePolicy::Reject {
            self.refusing.insert(id, ());
        } else {
            self.refusing.invalidate(&id);
        }
        let own = (state == "suspended").then_some(state_since);
        let recipient = Recipient::Mailbox { tenant, mailbox: id };
        Ok(Found::Mailbox { recipient, suspended_since: earliest(own, tenant_suspended) })
    }

    async fn find_route(&self, prefix: &str, token: &str) -> Result<Found, StoreError> {
        let Some(found) = self.store.route_by_token(token_hash(token)).await? else {
            return Ok(Found::Nobody);
        };
        let FoundRoute { row, accepted_until, tenant_suspended } = found;
        // The token of one kind of route is none of another's.
        if !prefix.eq_ignore_ascii_case(row.reader.prefix()) {
            return Ok(Found::Nobody);
        }
        let is_in = |state: RouteState| (row.state == state).then_some(row.state_since);
        let suspended_since = earliest(is_in(RouteState::Paused), tenant_suspended);
        let retired_at = earliest(is_in(RouteState::Retired), accepted_until);
        Ok(Found::Route { suspended_since, retired_at, row: Box::new(row) })
    }

    /// Prefix and token of an address of the form `bcc-<token>`, `journal-<token>` or `fwd-<token>` on a platform domain.
    fn route_token<'a>(&self, address: &'a Mailbox) -> Option<(&'a str, &'a str)> {
        let (user, _) = address.split_detail();
        let (prefix, token) = user.split_once('-')?;
        let is_prefix = ["bcc", "journal", "fwd"].iter().any(|known| prefix.eq_ignore_ascii_case(known));
        let is_token = token.len() == TOKEN_LETTERS && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_prefix && is_token && self.platform_domains.contains(address.domain())).then_some((prefix, token))
    }

    async fn answer(&self, found: Found, query: &RecipientQuery<'_>) -> Result<RecipientAnswer, StoreError> {
        match found {
            Found::Foreign => Ok(RecipientAnswer::Foreign),
            Found::Nobody => Ok(RecipientAnswer::Unknown),
            // RFC 3464 §2.1: a report has the null reverse-path.
            Found::Path { .. } if query.reverse_path.mailbox().is_some() => Ok(RecipientAnswer::Unknown),
            Found::Mailbox { recipient, suspended_since } | Found::Path { recipient, suspended_since } => {
                Ok(self.suspended(suspended_since).unwrap_or(RecipientAnswer::known(recipient)))
            }
            Found::Route { row, suspended_since, retired_at } => {
                let now = self.store.clock().now();
                // Of a former address that counts no more, nothing else is told: whoever learned it is a stranger by now.
                if let Some(retired_at) = retired_at.filter(|retired_at| *retired_at <= now) {
                    if now.since(retired_at) >= GRACE {
                        return Ok(RecipientAnswer::Unknown);
                    }
                    self.refused.note(&row, Note::Refused(Some(Alarm::RetiredAddress))).await;
                    return Ok(RecipientAnswer::Retired);
                }
                let answer = match self.suspended(suspended_since) {
                    Some(answer) => answer,
                    None => self.answer_of_route(&row, query).await?,
                };
                let alarm = match answer {
                    RecipientAnswer::Known { .. } => return Ok(answer),
                    RecipientAnswer::TooLarge => Some(Alarm::TooLarge),
                    RecipientAnswer::NotAuthorised => Some(Alarm::NotAuthorised),
                    _ => None,
                };
                self.refused.note(&row, Note::Refused(alarm)).await;
                Ok(answer)
            }
        }
    }

    /// What is said of what is suspended.
    fn suspended(&self, since: Option<Timestamp>) -> Option<RecipientAnswer> {
        let is_new = |since| self.store.clock().now().since(since) < GRACE;
        since.map(|since| if is_new(since) { RecipientAnswer::Paused } else { RecipientAnswer::Closed })
    }

    async fn answer_of_route(&self, row: &RouteRow, query: &RecipientQuery<'_>) -> Result<RecipientAnswer, StoreError> {
        let is_named = row.names(query.origin);
        let size = row.size_cap.or((row.reader.prefix() == "journal").then_some(self.journal_size));
        if is_named && query.announced_size.zip(size).is_some_and(|(announced, size)| announced > size) {
            return Ok(RecipientAnswer::TooLarge);
        }
        if is_named {
            let recipient = Recipient::Route {
                tenant: row.tenant,
                route: row.id,
                reader: row.reader,
                peer_authorised: true,
                shared_range: false,
            };
            return Ok(RecipientAnswer::Known { recipient, size });
        }
        let answer = if self.ranges.are_named(row, query.origin.peer).await {
            let now = self.store.clock().now();
            if row.marks.is_none() && !row.learns(now) {
                let is_over = row.state == RouteState::Learning;
                let alarm = if is_over { Alarm::LearningEnded } else { Alarm::Unverified };
                self.refused.note(row, Note::Kept(alarm)).await;
            }
            self.strangers.keep(row, true).await?
        } else {
            self.strangers.answer(row, query.origin).await?
        };
        match answer {
            RecipientAnswer::Known { recipient, .. } => Ok(RecipientAnswer::Known { recipient, size }),
            refused => Ok(refused),
        }
    }
}

impl Intake for Recipients {
    async fn recipient(&self, query: &RecipientQuery<'_>) -> RecipientAnswer {
        let postmaster = match query.name {
            ForwardName::Mailbox(_) => None,
            // RFC 5321 §4.5.1: postmaster without a domain is always a recipient.
            ForwardName::Postmaster => {
                self.platform_domains.first().and_then(|domain| Mailbox::parse(&format!("postmaster@{domain}")).ok())
            }
        };
        let address = match (query.name, &postmaster) {
            (ForwardName::Mailbox(address), _) | (ForwardName::Postmaster, Some(address)) => address,
            (ForwardName::Postmaster, None) => return RecipientAnswer::Unavailable,
        };
        let answer = async {
            let found = self.find(address).await?;
            self.answer(found, query).await.map_err(Arc::new)
        };
        match answer.await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(error.kind = "store", temporary = true, "Recipient cannot be looked up: {error}");
                RecipientAnswer::Unavailable
            }
        }
    }

    async fn wants_client_certificates(&self) -> bool {
        self.certificates.are_wanted().await
    }

    async fn authenticate(&self, credentials: &Credentials, origin: &Origin) -> AuthenticationAnswer {
        self.callers.check(credentials, origin).await
    }
}

/// The network of so many bits (IPv4, IPv6) whose peers are one to us, as text; `local` for a program of this machine.
fn network(peer: Option<IpAddr>, (v4, v6): (u8, u8)) -> String {
    let Some(address) = peer else { return "local".to_owned() };
    let bits = if address.is_ipv4() { v4 } else { v6 };
    IpNet::new(address, bits).map_or_else(|_| address.to_string(), |network| network.trunc().to_string())
}

/// The address of the mailbox that takes what no other mailbox of a customer's domain does.
#[must_use]
pub fn catch_all(domain: &Domain) -> String {
    format!("*@{domain}")
}

/// Whether the key of an address is of a role that every domain has.
fn is_role(key: &str) -> bool {
    key.rsplit_once('@').is_some_and(|(local, _)| ROLES.contains(&local))
}

fn catch_all_key(domain: &Domain) -> String {
    Mailbox::parse(&catch_all(domain)).map_or_else(|_| catch_all(domain), |mailbox| mailbox.key())
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod tests;
