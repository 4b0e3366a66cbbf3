//! Whom a forward-path names here: mailboxes, intake routes by their token, and the operator's postmaster and abuse.
//!
//! Answers are kept for a second, so that a busy sender costs one look-up, and so do many at once; a change by an operator
//! is seen within that.
//! An unknown address and an unknown token take the same path and get the same answer.
//!
//! Standards: RFC 5321 §4.5.1 (postmaster), RFC 2142 §4 (abuse).

mod callers;
mod certificates;
mod strangers;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use ring::digest::{SHA256, digest};

use crate::clock::Timestamp;
use crate::ids::{MailboxId, TenantId};
use crate::intake::{AuthenticationAnswer, Credentials, ForwardName, Intake, RecipientAnswer, RecipientQuery};
use crate::keys::Pepper;
use crate::mail::address::{Domain, Mailbox};
use crate::mail::authentication::FailurePolicy;
use crate::mail::envelope::{Door, Origin, Recipient};
use crate::store::directory::{MailboxRow, NewMailbox, RouteRow};
use crate::store::{Store, StoreError};
use callers::Callers;
use certificates::Certificates;
use strangers::Strangers;

pub use callers::GuessSettings;
pub use strangers::StrangerSettings;

/// The operator's own tenant, which every instance has: owner of postmaster and abuse.
pub const OPERATOR: TenantId = TenantId::from_bits(0);

/// How long a suspended recipient's mail is asked to wait with its sender; after that it is refused.
const GRACE: Duration = Duration::from_secs(3 * 24 * 3600);
/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(1);
/// How long it is known that a mailbox refuses: longer than any transaction takes.
const REFUSING_KEPT: Duration = Duration::from_secs(3_600);
/// How many answers are kept.
const ANSWERS: u64 = 50_000;
/// Letters of a route token: 128 bits in base32.
const TOKEN_LETTERS: usize = 26;

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
}

/// What stands in the directory under one address.
#[derive(Debug, Clone)]
enum Found {
    Nobody,
    Mailbox { recipient: Recipient, suspended_since: Option<Timestamp> },
    Route { row: Box<RouteRow>, suspended_since: Option<Timestamp> },
}

impl Recipients {
    /// Looks recipients up in `store`, and keys by their digest under `pepper`.
    #[must_use]
    pub fn new(store: Store, pepper: Pepper, settings: RecipientSettings) -> Self {
        let RecipientSettings { platform_domains, strangers, guesses } = settings;
        let found = moka::future::Cache::builder().max_capacity(ANSWERS).time_to_live(KEPT).build();
        let refusing = moka::sync::Cache::builder().max_capacity(ANSWERS).time_to_live(REFUSING_KEPT).build();
        let strangers = Strangers::new(store.clone(), strangers);
        let callers = Callers::new(store.clone(), pepper, guesses);
        let certificates = Certificates::new(store.clone());
        Self { store, platform_domains, found, refusing, strangers, callers, certificates }
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
            for local in ["postmaster", "abuse"] {
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
                None => self.find_mailbox(&key).await,
            }
        };
        // However many ask for one address at the same time: the store is asked once.
        self.found.try_get_with_by_ref(&key, look_up).await
    }

    async fn find_mailbox(&self, key: &str) -> Result<Found, StoreError> {
        let Some((row, tenant_suspended)) = self.store.mailbox_by_address(key).await? else {
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
        let Some((row, tenant_suspended)) = self.store.route_by_token(token_hash(token)).await? else {
            return Ok(Found::Nobody);
        };
        // The token of one kind of route is none of another's.
        if !prefix.eq_ignore_ascii_case(row.reader.prefix()) {
            return Ok(Found::Nobody);
        }
        let own = (row.state == "paused").then_some(row.state_since);
        Ok(Found::Route { suspended_since: earliest(own, tenant_suspended), row: Box::new(row) })
    }

    /// Prefix and token of an address of the form `bcc-<token>`, `journal-<token>` or `fwd-<token>` on a platform domain.
    fn route_token<'a>(&self, address: &'a Mailbox) -> Option<(&'a str, &'a str)> {
        let (user, _) = address.split_detail();
        let (prefix, token) = user.split_once('-')?;
        let is_prefix = ["bcc", "journal", "fwd"].iter().any(|known| prefix.eq_ignore_ascii_case(known));
        let is_token = token.len() == TOKEN_LETTERS && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (is_prefix && is_token && self.platform_domains.contains(address.domain())).then_some((prefix, token))
    }

    async fn answer(&self, found: Found, origin: &Origin, foreign: bool) -> Result<RecipientAnswer, StoreError> {
        let (Found::Mailbox { suspended_since, .. } | Found::Route { suspended_since, .. }) = found else {
            return Ok(if foreign { RecipientAnswer::Foreign } else { RecipientAnswer::Unknown });
        };
        match suspended_since {
            None => {}
            Some(since) if self.store.clock().now().since(since) < GRACE => return Ok(RecipientAnswer::Paused),
            Some(_) => return Ok(RecipientAnswer::Closed),
        }
        match found {
            Found::Nobody => Ok(RecipientAnswer::Unknown),
            Found::Mailbox { recipient, .. } => Ok(RecipientAnswer::Known(recipient)),
            // The operator of this machine named the route for the history that is imported.
            Found::Route { row, .. }
                if origin.door == Door::Import || row.peers.iter().any(|rule| rule.admits(origin)) =>
            {
                let recipient =
                    Recipient::Route { tenant: row.tenant, route: row.id, reader: row.reader, peer_authorised: true };
                Ok(RecipientAnswer::Known(recipient))
            }
            Found::Route { row, .. } => self.strangers.answer(&row, origin).await,
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
        let foreign = !self.platform_domains.contains(address.domain());
        let answer = async {
            let found = self.find(address).await?;
            self.answer(found, query.origin, foreign).await.map_err(Arc::new)
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

/// SHA-256 of a route token in lower case: what the store is asked for, so that no comparison sees the secret.
#[must_use]
pub fn token_hash(token: &str) -> [u8; 32] {
    let mut hash = [0u8; 32];
    hash.copy_from_slice(digest(&SHA256, token.to_ascii_lowercase().as_bytes()).as_ref());
    hash
}

/// A new route token: 128 random bits in base32, lower case.
#[must_use]
pub fn new_token() -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut random = [0u8; 16];
    crate::clock::random_bytes(&mut random);
    let bits = u128::from_be_bytes(random);
    (0..TOKEN_LETTERS)
        .map(|place| usize::try_from((bits >> (5 * place)) & 31).unwrap_or(0))
        .filter_map(|digit| ALPHABET.get(digit).copied().map(char::from))
        .collect()
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::reading::Reader;
    use std::num::NonZeroU32;

    use crate::clock::Clock;
    use crate::ids::SessionId;
    use crate::mail::address::ReversePath;
    use crate::store::directory::NewRoute;

    fn settings() -> RecipientSettings {
        RecipientSettings {
            platform_domains: vec![Domain::parse("in.example").unwrap()],
            strangers: StrangerSettings { put_off: Duration::from_secs(12 * 3_600), kept_per_day: NonZeroU32::MIN },
            guesses: GuessSettings { failures: 10, window: Duration::from_secs(600) },
        }
    }

    struct Scene {
        _folder: tempfile::TempDir,
        store: Store,
        recipients: Recipients,
        tenant: TenantId,
    }

    async fn scene() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(Timestamp::from_micros(1_790_000_000_000_000));
        let store = Store::open(&folder.path().join("index.db"), clock).await.unwrap();
        let tenant = store.add_tenant("harbor").await.unwrap();
        let recipients = Recipients::new(store.clone(), Pepper::new(b"pepper"), settings());
        recipients.ensure_operator().await.unwrap();
        recipients.ensure_operator().await.unwrap();
        Scene { _folder: folder, store, recipients, tenant }
    }

    async fn ask(scene: &Scene, name: ForwardName<'_>, peer: &str) -> RecipientAnswer {
        let origin = Origin {
            door: Door::Smtp,
            session: SessionId::from_bits(1),
            peer: Some(peer.parse().unwrap()),
            proxy: None,
            helo: String::new(),
            tls: None,
            authenticated: None,
            certificate: None,
            provider: None,
            client: None,
        };
        let query = RecipientQuery { name, reverse_path: &ReversePath::Null, announced_size: None, origin: &origin };
        scene.recipients.recipient(&query).await
    }

    async fn ask_for(scene: &Scene, address: &str, peer: &str) -> RecipientAnswer {
        ask(scene, ForwardName::Mailbox(&Mailbox::parse(address).unwrap()), peer).await
    }

    #[tokio::test]
    async fn postmaster_and_abuse_are_always_known() {
        let scene = scene().await;
        for address in ["postmaster@in.example", "Abuse@IN.example", "POSTMASTER+x@in.example"] {
            let answer = ask_for(&scene, address, "127.0.0.1").await;
            assert!(matches!(answer, RecipientAnswer::Known(Recipient::Mailbox { tenant: OPERATOR, .. })), "{address}");
        }
        let answer = ask(&scene, ForwardName::Postmaster, "127.0.0.1").await;
        assert!(matches!(answer, RecipientAnswer::Known(Recipient::Mailbox { tenant: OPERATOR, .. })));
    }

    #[tokio::test]
    async fn nobody_else_is_a_recipient_and_other_domains_are_not_relayed_to() {
        let scene = scene().await;
        assert_eq!(ask_for(&scene, "nobody@in.example", "127.0.0.1").await, RecipientAnswer::Unknown);
        let guess = format!("bcc-{}@in.example", new_token());
        assert_eq!(ask_for(&scene, &guess, "127.0.0.1").await, RecipientAnswer::Unknown);
        assert_eq!(ask_for(&scene, "ann@elsewhere.example", "127.0.0.1").await, RecipientAnswer::Foreign);
    }

    #[tokio::test]
    async fn a_route_is_found_by_its_token_and_says_whether_the_peer_is_authorised() {
        let scene = scene().await;
        let token = new_token();
        assert_eq!(token.len(), TOKEN_LETTERS);
        let route = NewRoute {
            reader: Reader::Bcc,
            token_hash: token_hash(&token),
            address_sealed: String::new(),
            app: None,
            peers: vec!["192.0.2.0/24".parse().unwrap()],
        };
        let id = scene.store.clock().mint();
        scene.store.for_tenant(scene.tenant).add_route(id, route).await.unwrap();
        let address = format!("BCC-{}+ann=harbor.example@in.example", token.to_uppercase());
        let wanted = Recipient::Route { tenant: scene.tenant, route: id, reader: Reader::Bcc, peer_authorised: true };
        assert_eq!(ask_for(&scene, &address, "192.0.2.9").await, RecipientAnswer::Known(wanted));
        assert_eq!(ask_for(&scene, &address, "198.51.100.1").await, RecipientAnswer::NotAuthorised);
        let elsewhere = format!("bcc-{token}@elsewhere.example");
        assert_eq!(ask_for(&scene, &elsewhere, "192.0.2.9").await, RecipientAnswer::Foreign);
    }

    #[test]
    fn tokens_are_of_the_alphabet_and_differ() {
        let (one, other) = (new_token(), new_token());
        assert_ne!(one, other);
        assert!(one.bytes().all(|byte| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte)));
    }
}
