//! Passwords: which may be chosen, and their digests.
//!
//! # Security
//! argon2id (RFC 9106) with the least that OWASP names: 19 MiB, two passes, one lane. That much memory is what makes
//! guessing dear, so that few are digested at once here, few wait, and the rest is told to come again: a flood of sign-ins
//! takes neither the memory nor the threads of everything else. A digest is begun for unknown accounts too.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization as _;

use super::AccountError;

/// Characters of a password, at least. There are no rules about kinds of letters (NIST SP 800-63B §3.1.1.2).
pub const LEAST_CHARACTERS: usize = 12;
/// Octets of a password, at most.
const MOST_OCTETS: usize = 1024;
/// KiB, passes and lanes.
const COST: (u32, u32, u32) = (19_456, 2, 1);
/// Digested at once: 38 MiB.
const AT_ONCE: usize = 2;
/// Waiting for that.
const WAITING: usize = 16;
/// For how long.
const PATIENCE: Duration = Duration::from_secs(5);
/// A digest of nothing, of the same cost as every other.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$Y29ubmV4IG5vYm9keQ$3q2+796tvu/erb7v3q2+796tvu/erb7v3q2+796tvu8";

/// A password that somebody gave. Never shows itself.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// As it was given to sign in.
    #[must_use]
    pub fn given(text: &str) -> Self {
        // The same characters can be typed in several ways.
        Self(text.nfc().take(MOST_OCTETS).collect())
    }

    /// A new one; `personal` are words that others know of the person.
    ///
    /// # Errors
    /// [`AccountError::Invalid`] when it is too short, too long or easily guessed.
    pub fn choose(text: &str, personal: &[&str]) -> Result<Self, AccountError> {
        let refuse = |message| Err(AccountError::Invalid { field: "password", message });
        let password: String = text.nfc().collect();
        if password.len() > MOST_OCTETS {
            return refuse("must have at most 1024 octets");
        }
        if password.chars().count() < LEAST_CHARACTERS {
            return refuse("must have at least 12 characters; several words are easy to remember");
        }
        let lower = password.to_lowercase();
        if is_simple(&lower) || COMMON.contains(&lower.as_str()) {
            return refuse("is one of those that are tried first; choose another");
        }
        let mut rest = lower;
        for word in personal.iter().map(|word| word.to_lowercase()).filter(|word| word.chars().count() >= 3) {
            rest = rest.replace(&word, "");
        }
        if rest.chars().count() < LEAST_CHARACTERS / 2 {
            return refuse("is made of your name, address or organisation; choose another");
        }
        Ok(Self(password))
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Password(…)")
    }
}

/// Whether it has few different characters, or each follows from the one before.
fn is_simple(text: &str) -> bool {
    let mut different: Vec<char> = text.chars().collect();
    let steps: Vec<i64> =
        different.windows(2).map(|pair| pair.iter().map(|&c| i64::from(u32::from(c))).fold(0, |a, b| b - a)).collect();
    let even = steps.iter().filter(|step| step.abs() <= 1).count();
    different.sort_unstable();
    different.dedup();
    different.len() < 5 || even * 4 >= steps.len() * 3
}

/// Those of the well-known lists that are long enough.
const COMMON: &[&str] = &[
    "password1234",
    "password12345",
    "password123456",
    "passwordpassword",
    "qwertyuiop12",
    "qwertyuiop123",
    "qwertyuiopasdfgh",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "1qaz2wsx3edc4rfv",
    "qazwsxedcrfv",
    "iloveyou1234",
    "letmein12345",
    "administrator",
    "administrator1",
    "changeme1234",
    "welcome12345",
    "correcthorsebatterystaple",
    "trustno1trustno1",
];

/// Digests passwords, few at a time.
#[derive(Debug, Clone)]
pub(super) struct Digester {
    places: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Default for Digester {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)), waiting: Arc::new(Semaphore::new(AT_ONCE + WAITING)) }
    }
}

impl Digester {
    /// The digest of a password, as PHC string.
    ///
    /// # Errors
    /// [`AccountError::Busy`].
    pub(super) async fn digest(&self, password: Password) -> Result<String, AccountError> {
        self.run(move || digest(&password)).await?
    }

    /// Whether a password is the one with this digest; without a digest it never is, and takes as long.
    ///
    /// # Errors
    /// [`AccountError::Busy`].
    pub(super) async fn is_right(&self, password: Password, digest: Option<String>) -> Result<bool, AccountError> {
        self.run(move || {
            let is_known = digest.is_some();
            let digest = PasswordHash::new(digest.as_deref().unwrap_or(NOBODYS)).map_err(internal)?;
            let is_right = Argon2::default().verify_password(password.0.as_bytes(), &digest).is_ok();
            Ok(is_right && is_known)
        })
        .await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, AccountError> {
        let _waiting = self.waiting.try_acquire().map_err(|_| AccountError::Busy)?;
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await;
        let place = place.map_err(|_| AccountError::Busy)?.map_err(|_| AccountError::Busy)?;
        // The place is taken until the work is done, also where nobody waits for it any more.
        let work = move || {
            let done = work();
            drop(place);
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| AccountError::Internal(error.into()))
    }
}

/// The digest of a password, as PHC string, with a new salt. Takes some 20 ms, and 19 MiB.
///
/// # Errors
/// [`AccountError::Internal`], for which no password is known.
pub(super) fn digest(password: &Password) -> Result<String, AccountError> {
    let (memory, passes, lanes) = COST;
    let mut salt = [0u8; 16];
    crate::clock::random_bytes(&mut salt);
    let params = Params::new(memory, passes, lanes, None).map_err(internal)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let digest = argon2.hash_password_with_salt(password.0.as_bytes(), &salt).map_err(internal)?;
    Ok(digest.to_string())
}

fn internal(error: impl std::fmt::Display) -> AccountError {
    AccountError::Internal(error.to_string().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_guessed_first_is_not_chosen() {
        let personal = ["ann.harbor@quay.example", "ann.harbor", "Harbor Ltd"];
        for wrong in [
            "short words",
            "aaaaaaaaaaaaaa",
            "abababababababab",
            "123456789012",
            "abcdefghijklmnop",
            "Password1234",
            "ann.harbor@quay.example",
            "Ann.Harbor2026",
            "harbor ltdharbor ltd1",
            &"x1Y".repeat(400),
        ] {
            assert!(Password::choose(wrong, &personal).is_err(), "{wrong}");
        }
        for right in ["lantern over the quay", "äöüßéèçñžœøå", "Tr0ub4dor&3xkcd", "ann.harbor keeps bees"] {
            assert!(Password::choose(right, &personal).is_ok(), "{right}");
        }
    }

    #[tokio::test]
    async fn a_digest_is_of_the_agreed_cost_and_of_one_password() {
        let digester = Digester::default();
        let digest = digester.digest(Password::given("lantern over the quay")).await.unwrap();
        assert!(digest.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{digest}");
        let is_right =
            async |given: &str| digester.is_right(Password::given(given), Some(digest.clone())).await.unwrap();
        assert!(is_right("lantern over the quay").await && !is_right("lantern over the quai").await);
        // The same word, with its accent as a character of its own.
        let digest = digester.digest(Password::given("caf\u{e9} at the quay")).await.unwrap();
        assert!(digester.is_right(Password::given("cafe\u{301} at the quay"), Some(digest)).await.unwrap());
    }

    #[tokio::test]
    async fn nobodys_digest_costs_as_much_and_fits_no_password() {
        let nobodys = PasswordHash::new(NOBODYS).unwrap();
        assert_eq!(Params::try_from(&nobodys).unwrap(), Params::new(COST.0, COST.1, COST.2, Some(32)).unwrap());
        assert!(!Digester::default().is_right(Password::given(""), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_flood_is_told_to_come_again_at_once() {
        let digester = Digester::default();
        let held: Vec<_> = (0..AT_ONCE + WAITING).map(|_| digester.waiting.try_acquire().unwrap()).collect();
        let refused = digester.is_right(Password::given("x"), None).await;
        assert!(matches!(refused, Err(AccountError::Busy)), "{refused:?}");
        drop(held);
        assert!(!digester.is_right(Password::given("x"), None).await.unwrap());
    }
}
