//! Signing in, giving the password again, and signing out.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::throttle::Subject;
use super::{AccountError, Password, Secret, SignInRow, SignedIn, lapsed};
use crate::governance::audit::Who;
use crate::ids::{SignInId, TenantId, UserId};
use crate::mail::address::Mailbox;
use crate::service::Service;
use crate::store::StoreError;
use crate::store::accounts::sign_ins::{NewSignIn, Proof};
use crate::store::accounts::{Credentials, UserState};

/// What somebody gives to sign in.
#[derive(Debug, Clone)]
pub struct Attempt<'a> {
    /// Name of the tenant; empty: the only one there is.
    pub organisation: &'a str,
    /// By what the person signs in.
    pub email: &'a str,
    /// The password.
    pub password: Password,
    /// What the browser was given when the person signed in there before.
    pub browser: Option<&'a str>,
    /// From where.
    pub peer: Option<IpAddr>,
    /// What the browser calls itself.
    pub user_agent: Option<&'a str>,
}

/// A sign-in that was begun.
#[derive(Debug)]
pub struct Begun {
    /// For the browser's cookie.
    pub token: Secret,
    /// What the browser shows at the next sign-in, so that wrong passwords of others do not keep this person waiting.
    pub browser: String,
}

/// From where somebody signs in.
pub(super) struct Comes<'a> {
    pub(super) peer: Option<IpAddr>,
    pub(super) user_agent: Option<&'a str>,
    /// Whether the person signed in at this browser before.
    pub(super) is_known_browser: bool,
}

impl Service {
    /// Signs a person in.
    ///
    /// # Errors
    /// [`AccountError::WrongCredentials`], the same for every reason; [`AccountError::Throttled`], [`AccountError::Busy`].
    pub async fn sign_in(&self, attempt: Attempt<'_>) -> Result<Begun, AccountError> {
        let done = self.try_sign_in(attempt).await;
        let outcome = match &done {
            Ok(_) => "done",
            Err(AccountError::WrongCredentials) => "wrong",
            Err(AccountError::Throttled { .. }) => "throttled",
            Err(_) => "failed",
        };
        metrics::counter!("connex_sign_ins_total", "outcome" => outcome).increment(1);
        done
    }

    async fn try_sign_in(&self, attempt: Attempt<'_>) -> Result<Begun, AccountError> {
        let organisation = match attempt.organisation.trim() {
            "" => self.store.only_tenant().await?.unwrap_or_default(),
            name => name.chars().take(MOST_CHARACTERS).collect(),
        };
        let email = email_key(attempt.email);
        let found = self.store.credentials(&organisation, &email).await?;
        let browser = found.as_ref().and_then(|found| self.known_browser(attempt.browser?, found));
        // Without regard to whether the account exists: the answer must not tell.
        let subjects: Vec<Subject<'_>> = match &browser {
            Some(browser) => vec![Subject::Browser(browser)],
            None => {
                let address = attempt.peer.and_then(Subject::address);
                [Some(Subject::Account(&organisation, &email)), address].into_iter().flatten().collect()
            }
        };
        let found = self.judged(attempt.password, found, &subjects).await?;
        let Some(Credentials { tenant, user, password_hash: Some(password_hash), .. }) = found else {
            return Err(AccountError::WrongCredentials);
        };
        let is_known_browser = browser.is_some();
        let from = Comes { peer: attempt.peer, user_agent: attempt.user_agent, is_known_browser };
        match self.begin((tenant, user), Proof::Password(password_hash), from).await? {
            Some(begun) => Ok(begun),
            // Disabled, or the password was changed, while it was judged.
            None => Err(AccountError::WrongCredentials),
        }
    }

    /// Keeps a sign-in; `None` when the person cannot sign in, or has not the proof any more.
    pub(super) async fn begin(
        &self,
        (tenant, user): (TenantId, UserId),
        proof: Proof,
        from: Comes<'_>,
    ) -> Result<Option<Begun>, AccountError> {
        let token = Secret::new();
        let id = self.clock().mint();
        let (user_agent, is_known_browser) = (from.user_agent.map(words), from.is_known_browser);
        let address = from.peer.map(|peer| peer.to_canonical().to_string());
        let new = NewSignIn { id, user, token_hash: token.hash(), user_agent, address, is_known_browser };
        match self.store.for_tenant(tenant).add_sign_in(new, proof, lapsed(self.clock().now())).await {
            Err(StoreError::NotFound(_)) => return Ok(None),
            kept => kept?,
        }
        tracing::info!(tenant.id = %tenant, user.id = %user, "Signed in `{user}`");
        Ok(Some(Begun { token, browser: self.new_browser(tenant, user) }))
    }

    /// Notes that the password was given again; the sign-in has another token then.
    ///
    /// # Errors
    /// [`AccountError::WrongCredentials`], [`AccountError::Throttled`], [`AccountError::Busy`].
    pub async fn step_up<R>(&self, who: &SignedIn<R>, password: Password) -> Result<Secret, AccountError> {
        self.give_again(who, password).await?;
        self.renew(who).await
    }

    /// Changes the password; every other sign-in of the person ends, and this one has another token then.
    ///
    /// # Errors
    /// As [`Service::step_up`] for the present one; [`AccountError::Invalid`] for a new one that is no good.
    pub async fn change_password<R>(
        &self,
        who: &SignedIn<R>,
        present: Password,
        new: &str,
    ) -> Result<Secret, AccountError> {
        let new = Password::choose(new, &personal(who.email(), who.name(), who.tenant_name()))?;
        self.give_again(who, present).await?;
        let digest = self.accounts.digester.digest(new).await?;
        let (own, person) = (self.store.for_tenant(who.tenant()), Who::Actor(who.actor()));
        own.set_password(who.user(), digest, Some(who.sign_in()), person).await?;
        tracing::info!(tenant.id = %who.tenant(), user.id = %who.user(), "`{}` has a new password", who.user());
        self.renew(who).await
    }

    async fn give_again<R>(&self, who: &SignedIn<R>, password: Password) -> Result<(), AccountError> {
        let found = self.store.for_tenant(who.tenant()).user_credentials(who.user()).await?;
        // Tries of this sign-in alone: whoever has it can keep nobody else from signing in.
        let sign_in = who.sign_in().as_bits().to_be_bytes();
        match self.judged(password, found, &[Subject::Browser(&sign_in)]).await? {
            Some(_) => Ok(()),
            None => Err(AccountError::WrongCredentials),
        }
    }

    /// What was found, if the password is the right one and the person can sign in. Takes as long where nothing was found.
    async fn judged(
        &self,
        password: Password,
        found: Option<Credentials>,
        subjects: &[Subject<'_>],
    ) -> Result<Option<Credentials>, AccountError> {
        let throttle = &self.accounts.throttle;
        let taken = throttle.take(subjects, self.clock().now());
        taken.map_err(|retry_after| AccountError::Throttled { retry_after })?;
        let digest = found.as_ref().and_then(|found| found.password_hash.clone());
        let is_right = self.accounts.digester.is_right(password, digest).await;
        let found = found.filter(|found| found.state == UserState::Active && matches!(is_right, Ok(true)));
        if found.is_some() || is_right.is_err() {
            throttle.give_back(subjects);
        }
        is_right?;
        Ok(found)
    }

    pub(super) async fn renew<R>(&self, who: &SignedIn<R>) -> Result<Secret, AccountError> {
        let token = Secret::new();
        let own = self.store.for_tenant(who.tenant());
        match own.renew_sign_in(who.sign_in(), who.person.token_hash, token.hash()).await {
            Err(StoreError::NotFound(_)) => Err(AccountError::NotSignedIn),
            renewed => Ok(renewed.map(|()| token)?),
        }
    }

    /// Signs out here.
    ///
    /// # Errors
    /// [`AccountError::Unavailable`].
    pub async fn sign_out<R>(&self, who: &SignedIn<R>) -> Result<(), AccountError> {
        match self.end_sign_in(who, who.sign_in()).await {
            Err(AccountError::NotFound(_)) => Ok(()),
            done => done,
        }
    }

    /// Where the person is signed in, the place used last first.
    ///
    /// # Errors
    /// [`AccountError::Unavailable`].
    pub async fn sign_ins<R>(&self, who: &SignedIn<R>) -> Result<Vec<SignInRow>, AccountError> {
        Ok(self.store.for_tenant(who.tenant()).sign_ins(who.user(), lapsed(self.clock().now())).await?)
    }

    /// Ends one sign-in of the person.
    ///
    /// # Errors
    /// [`AccountError::NotFound`].
    pub async fn end_sign_in<R>(&self, who: &SignedIn<R>, id: SignInId) -> Result<(), AccountError> {
        Ok(self.store.for_tenant(who.tenant()).end_sign_in(who.user(), id).await?)
    }

    /// Ends every sign-in of the person but this one.
    ///
    /// # Errors
    /// [`AccountError::Unavailable`].
    pub async fn end_other_sign_ins<R>(&self, who: &SignedIn<R>) -> Result<(), AccountError> {
        Ok(self.store.for_tenant(who.tenant()).end_other_sign_ins(who.user(), who.sign_in()).await?)
    }

    fn new_browser(&self, tenant: TenantId, user: UserId) -> String {
        let mut random = [0u8; 16];
        crate::clock::random_bytes(&mut random);
        let tag = self.pepper.tag(&browser_text(tenant, user, &random));
        format!("{}.{}", URL_SAFE_NO_PAD.encode(random), URL_SAFE_NO_PAD.encode(tag))
    }

    /// The number of a browser from which this person signed in before.
    fn known_browser(&self, told: &str, found: &Credentials) -> Option<Vec<u8>> {
        let (random, tag) = told.split_once('.')?;
        let (random, tag) = (URL_SAFE_NO_PAD.decode(random).ok()?, URL_SAFE_NO_PAD.decode(tag).ok()?);
        let text = browser_text(found.tenant, found.user, &random);
        (random.len() == 16 && self.pepper.is_tag(&tag, &text)).then_some(random)
    }
}

fn browser_text(tenant: TenantId, user: UserId, random: &[u8]) -> Vec<u8> {
    let mut text = b"connex browser v1 ".to_vec();
    text.extend_from_slice(&tenant.as_bits().to_be_bytes());
    text.extend_from_slice(&user.as_bits().to_be_bytes());
    text.extend_from_slice(random);
    text
}

/// Characters of names and of what a browser calls itself.
pub(super) const MOST_CHARACTERS: usize = 200;

/// An address in the form for comparison; what is none is one that nobody has.
fn email_key(email: &str) -> String {
    Mailbox::parse(email.trim()).map_or_else(|_| email.chars().take(MOST_CHARACTERS).collect(), |email| email.key())
}

/// What others know of a person, which is no password.
pub(super) fn personal<'a>(email: &'a str, name: &'a str, organisation: &'a str) -> [&'a str; 4] {
    [email, email.split_once('@').map_or("", |(local, _)| local), name, organisation]
}

/// A text that a stranger chose, bounded and in one line.
fn words(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MOST_CHARACTERS).collect()
}
