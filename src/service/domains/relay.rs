//! A customer's own relay: the one server that takes what is sent for a domain, whoever the recipients are. The API and the
//! operator's commands share it.
//!
//! # Security
//! The password is sealed for its tenant, domain, server and user before it is stored, so that no changed row leads it to
//! another server; it is opened to send, and shown to nobody. It goes over TLS alone, to a server with a certificate that is
//! believed. No key sets a relay: whoever does decides who reads what leaves.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::DomainDesk;
use crate::governance::IdentityOwner;
use crate::governance::audit::Who;
use crate::ids::TenantId;
use crate::mail::address::Domain;
use crate::outbound::dialogue::Credentials;
use crate::outbound::route::{InvalidRelay, Relay, RelayTls, host_and_port, relayed};
use crate::seal::InstanceKey;
use crate::service::accounts::{Admin, SignedIn};
use crate::service::{Fault, Service, ServiceError};
use crate::store::domains::DomainRow;
use crate::store::relays::DomainRelayRow;
use crate::store::{Store, StoreError, TenantStore};

/// A relay to be set.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RelayRequest {
    /// `HOST:PORT`; an IPv6 address stands in brackets.
    #[schema(min_length = 3, max_length = 300)]
    pub relay: String,
    /// `starttls` or `implicit`, both with a certificate that is believed; `never` only without a user. `starttls` unless told.
    #[serde(default)]
    #[schema(max_length = 8)]
    pub tls: Option<String>,
    /// The user name there; with `password`, or neither.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 320)]
    pub user: Option<String>,
    /// The user's password; it is not shown again.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 1024, write_only)]
    pub password: Option<String>,
}

/// Without the password.
impl fmt::Debug for RelayRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("RelayRequest");
        shown.field("relay", &self.relay).field("tls", &self.tls).field("user", &self.user).finish_non_exhaustive()
    }
}

/// Which way mail of a domain goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DomainRelayView {
    /// The domain.
    pub domain: String,
    /// The route in force, as receipts say it: `relay:HOST:PORT`, or `direct` to the recipients' own servers.
    pub route: String,
    /// The domain's own relay; null where it has none, and mail goes the way of the gateway.
    pub relay: Option<RelayView>,
}

/// A relay, without its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RelayView {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `starttls`, `implicit` or `never`.
    pub tls: String,
    /// The user name there; null where none is told.
    pub user: Option<String>,
    /// Since when it is as it is, RFC 3339.
    pub set_at: String,
}

/// Why a relay is not set.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A part of it is not one.
    #[error("{field} {message}")]
    Invalid {
        /// The part: `relay`, `tls`, `user` or `password`.
        field: &'static str,
        /// What is wrong with it.
        message: &'static str,
    },
    /// The store does not take it now.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which way a message goes.
#[derive(Debug)]
pub(crate) struct Way {
    /// As receipts say it.
    pub(crate) route: String,
    /// The customer's relay, where it goes by one.
    pub(crate) relay: Option<DomainRelayRow>,
}

/// Longest user name and password, in octets.
const USER_OCTETS: usize = 320;
const PASSWORD_OCTETS: usize = 1_024;

impl DomainDesk {
    /// Sets the relay of a domain, in place of another one. Counts from the next attempt on.
    ///
    /// # Errors
    /// [`RelayError`].
    pub async fn set_relay(
        &self,
        store: &Store,
        key: &InstanceKey,
        domain: &DomainRow,
        request: RelayRequest,
        who: Who,
    ) -> Result<DomainRelayView, RelayError> {
        let row = row_of(key, domain, request, store.clock().now())?;
        store.for_tenant(domain.tenant).set_domain_relay(row, who).await?;
        Ok(self.relay(store, domain).await?)
    }

    /// Removes the relay of a domain; its mail goes the way of the gateway from the next attempt on.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where it has none.
    pub async fn remove_relay(
        &self,
        store: &Store,
        domain: &DomainRow,
        who: Who,
    ) -> Result<DomainRelayView, StoreError> {
        store.for_tenant(domain.tenant).remove_domain_relay(&domain.domain, who).await?;
        self.relay(store, domain).await
    }

    /// Which way mail of a domain goes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn relay(&self, store: &Store, domain: &DomainRow) -> Result<DomainRelayView, StoreError> {
        let row = store.for_tenant(domain.tenant).domain_relay(&domain.domain).await?;
        let route = row.as_ref().map_or_else(|| self.route.to_string(), |row| relayed(&row.host, row.port));
        let relay = row.map(|row| RelayView {
            host: row.host,
            port: row.port,
            tls: row.tls,
            user: row.user,
            set_at: row.set_at.to_string(),
        });
        Ok(DomainRelayView { domain: domain.domain.clone(), route, relay })
    }
}

impl Service {
    /// Which way mail of a domain of the person's tenant goes.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn domain_relay(&self, id: &str, who: &SignedIn<Admin>) -> Result<DomainRelayView, ServiceError> {
        let domain = self.domain_row(id, who.tenant()).await?;
        Ok(self.domains.relay(&self.store, &domain).await?)
    }

    /// Sets the relay of a domain of the person's tenant.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] where it is none; [`ServiceError::NotFound`].
    pub async fn set_domain_relay(
        &self,
        id: &str,
        request: RelayRequest,
        who: &SignedIn<Admin>,
    ) -> Result<DomainRelayView, ServiceError> {
        let domain = self.domain_row(id, who.tenant()).await?;
        let by = Who::Actor(who.actor());
        match self.domains.set_relay(&self.store, &self.routes.key, &domain, request, by).await {
            Ok(view) => Ok(view),
            Err(RelayError::Invalid { field, message }) => {
                Err(ServiceError::Invalid(vec![Fault::at(format!("/{field}"), message)]))
            }
            Err(RelayError::Store(error)) => Err(error.into()),
        }
    }

    /// Removes the relay of a domain of the person's tenant.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn remove_domain_relay(&self, id: &str, who: &SignedIn<Admin>) -> Result<DomainRelayView, ServiceError> {
        let domain = self.domain_row(id, who.tenant()).await?;
        Ok(self.domains.remove_relay(&self.store, &domain, Who::Actor(who.actor())).await?)
    }

    /// Which way a message of this identity goes now: a customer's domain may have a relay; all else goes the way of the
    /// gateway.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub(crate) async fn way_of(
        &self,
        tenant: &TenantStore,
        owner: IdentityOwner,
        domain: Option<&Domain>,
    ) -> Result<Way, ServiceError> {
        let relay = match domain {
            Some(domain) if owner == IdentityOwner::CustomerDomain => tenant.domain_relay(domain.as_str()).await?,
            _ => None,
        };
        let route = relay.as_ref().map_or_else(|| self.domains.route.to_string(), |row| relayed(&row.host, row.port));
        Ok(Way { route, relay })
    }
}

/// The relay of a stored row, with its password.
///
/// # Errors
/// [`ServiceError::Internal`] where the password cannot be opened, or the row is none that was set here.
pub(crate) fn open(key: &InstanceKey, tenant: TenantId, row: &DomainRelayRow) -> Result<Relay, ServiceError> {
    let internal = |what: &str| ServiceError::Internal(format!("the relay of {}: {what}", row.domain).into());
    let credentials = match (&row.user, &row.password_sealed) {
        (Some(user), Some(sealed)) => {
            let place = place(tenant, &row.domain, (&row.host, row.port), user);
            let password = key.open(&place, sealed).map_err(|error| ServiceError::Internal(error.into()))?;
            Some(Credentials::new(user, &password).ok_or_else(|| internal("no user and password"))?)
        }
        (None, None) => None,
        _ => return Err(internal("a user without a password")),
    };
    let tls = tls_of(&row.tls).ok_or_else(|| internal("not a known word for TLS"))?;
    let relay = Relay::new(&row.host, row.port, tls, credentials).map_err(|error| internal(&error.to_string()))?;
    Ok(relay.of_customer(&format!("{tenant} {}", row.domain)))
}

fn row_of(
    key: &InstanceKey,
    domain: &DomainRow,
    request: RelayRequest,
    set_at: crate::clock::Timestamp,
) -> Result<DomainRelayRow, RelayError> {
    let invalid = |field, message| RelayError::Invalid { field, message };
    let RelayRequest { relay, tls, user, password } = request;
    let (host, port) = host_and_port(&relay).ok_or_else(|| invalid("relay", "must be HOST:PORT"))?;
    let word = tls.as_deref().unwrap_or("starttls");
    let tls = tls_of(word).ok_or_else(|| invalid("tls", "must be starttls, implicit or never"))?;
    let credentials = match (&user, &password) {
        (None, None) => None,
        (Some(user), Some(password)) => {
            let fits = user.len() <= USER_OCTETS && password.len() <= PASSWORD_OCTETS;
            let credentials = Credentials::new(user, password).filter(|_| fits);
            Some(
                credentials
                    .ok_or_else(|| invalid("user", "and password must not be empty, too long, or have a NUL"))?,
            )
        }
        (None, Some(_)) => return Err(invalid("user", "is missing: with a password there is a user")),
        (Some(_), None) => return Err(invalid("password", "is missing: it is told with the user each time")),
    };
    Relay::new(&host, port, tls, credentials).map_err(|error| match error {
        InvalidRelay::Host => invalid("relay", "must be HOST:PORT"),
        InvalidRelay::CredentialsInClear => invalid("tls", "must not be never: a password is not sent in clear"),
    })?;
    let place = |user: &String| place(domain.tenant, &domain.domain, (&host, port), user);
    let password_sealed = user.as_ref().zip(password).map(|(user, password)| key.seal(&place(user), &password));
    let (domain, tls) = (domain.domain.clone(), word.to_owned());
    Ok(DomainRelayRow { domain, host, port, tls, user, password_sealed, set_at })
}

fn tls_of(word: &str) -> Option<RelayTls> {
    match word {
        "starttls" => Some(RelayTls::StartTls),
        "implicit" => Some(RelayTls::Implicit),
        "never" => Some(RelayTls::Never),
        _ => None,
    }
}

/// What a sealed password is bound to.
fn place(tenant: TenantId, domain: &str, (host, port): (&str, u16), user: &str) -> String {
    format!("domain_relay:{tenant}:{domain}:{host}:{port}:{user}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::store::domains::DomainState;

    const KEY: [u8; 32] = [3; 32];

    fn domain(tenant: u128, name: &str) -> DomainRow {
        DomainRow {
            tenant: TenantId::from_bits(tenant),
            domain: name.into(),
            state: DomainState::Verified,
            proof: String::new(),
            state_since: Timestamp::from_micros(0),
            proven_at: None,
            misses: 0,
            checked_at: None,
        }
    }

    fn request(relay: &str, tls: Option<&str>, user: Option<&str>, password: Option<&str>) -> RelayRequest {
        let text = |text: Option<&str>| text.map(str::to_owned);
        RelayRequest { relay: relay.into(), tls: text(tls), user: text(user), password: text(password) }
    }

    fn row(request: RelayRequest) -> Result<DomainRelayRow, RelayError> {
        row_of(&InstanceKey::new(&KEY), &domain(1, "acme.example"), request, Timestamp::from_micros(0))
    }

    #[test]
    fn a_password_is_never_sent_in_clear_and_never_shown_and_goes_to_the_server_it_was_set_for_alone() {
        let set = request("Smtp.Acme.Example:587", None, Some("us"), Some("tidewater"));
        assert!(!format!("{set:?}").contains("tidewater"), "{set:?}");
        let good = row(set).unwrap();
        assert_eq!((good.host.as_str(), good.port, good.tls.as_str()), ("smtp.acme.example", 587, "starttls"));
        assert!(!format!("{good:?}").contains("tidewater"), "{good:?}");
        let (key, tenant) = (InstanceKey::new(&KEY), TenantId::from_bits(1));
        let relay = open(&key, tenant, &good).unwrap();
        assert!(!format!("{relay:?}").contains("tidewater"), "{relay:?}");
        // A row that somebody changed gives the password to nobody.
        let moved = |change: fn(&mut DomainRelayRow)| {
            let mut row = good.clone();
            change(&mut row);
            open(&key, tenant, &row).is_err()
        };
        assert!(moved(|row| row.host = "evil.example".into()));
        assert!(moved(|row| row.port = 588));
        assert!(moved(|row| row.user = Some("them".into())));
        assert!(moved(|row| row.domain = "other.example".into()));
        assert!(moved(|row| row.tls = "never".into()), "nor in clear");
        assert!(open(&key, TenantId::from_bits(2), &good).is_err());
        assert!(open(&InstanceKey::new(&[4; 32]), tenant, &good).is_err());
    }

    #[test]
    fn what_is_no_relay_is_refused_by_its_part() {
        let field = |request| match row(request) {
            Err(RelayError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        for wrong in ["smtp.example", "smtp.example:0", "smtp.example:70000", ":25", "a b:25", "::1:25", "[x]:25"] {
            assert_eq!(field(request(wrong, None, None, None)), "relay", "{wrong}");
        }
        assert_eq!(field(request("smtp.example:25", Some("maybe"), None, None)), "tls");
        assert_eq!(field(request("smtp.example:25", Some("never"), Some("us"), Some("x"))), "tls");
        assert_eq!(field(request("smtp.example:25", None, Some("us"), None)), "password");
        assert_eq!(field(request("smtp.example:25", None, None, Some("x"))), "user");
        assert_eq!(field(request("smtp.example:25", None, Some("u\0s"), Some("x"))), "user");
        let own = row(request("[2001:db8::25]:465", Some("implicit"), None, None)).unwrap();
        assert_eq!((own.host.as_str(), own.port, own.password_sealed), ("2001:db8::25", 465, None));
        assert!(row(request("smtp.example:25", Some("never"), None, None)).is_ok(), "nothing is told to it");
    }
}
