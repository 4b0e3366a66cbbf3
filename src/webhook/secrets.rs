//! An endpoint's signing secrets as they are stored: how they follow one another, and which of them sign at a time.
//!
//! As text (which is sealed before it is stored) one a line, newest first; behind an old one stands until when it signs:
//! `whsec_… 2026-11-24T10:00:00.000Z`. An old one without a time signs until it is taken away.

use std::time::Duration;

use super::sign::{InvalidSecret, MAX_OLD_SECRETS, SigningSecrets, WebhookSecret};
use crate::clock::Timestamp;

/// The secrets of one endpoint.
#[derive(Debug, Clone)]
pub struct EndpointSecrets {
    current: WebhookSecret,
    /// Newest first.
    old: Vec<OldSecret>,
}

#[derive(Debug, Clone)]
struct OldSecret {
    secret: WebhookSecret,
    until: Option<Timestamp>,
}

/// Why stored secrets cannot be read. Never holds any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableSecrets {
    /// There is none.
    #[error("no signing secret is stored")]
    None,
    /// One of them is damaged.
    #[error("a stored signing secret is damaged")]
    Damaged(#[source] InvalidSecret),
    /// The time behind an old one is none.
    #[error("the end of an old signing secret is no time")]
    End,
}

/// As many old secrets sign as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_OLD_SECRETS} old secrets still sign: wait until one ends, or give no overlap")]
pub struct TooManyOld;

impl EndpointSecrets {
    /// `current` alone.
    #[must_use]
    pub const fn new(current: WebhookSecret) -> Self {
        Self { current, old: Vec::new() }
    }

    /// Reads what [`EndpointSecrets::expose`] wrote. One that is damaged spoils all: without it, receivers would refuse
    /// what is signed by the others, and nobody would know why.
    ///
    /// # Errors
    /// See [`UnreadableSecrets`].
    pub fn parse(text: &str) -> Result<Self, UnreadableSecrets> {
        let mut lines = text.lines();
        let secret = |text: &str| WebhookSecret::parse(text).map_err(UnreadableSecrets::Damaged);
        let current = secret(lines.next().ok_or(UnreadableSecrets::None)?)?;
        let old = |line: &str| match line.split_once(' ') {
            None => Ok(OldSecret { secret: secret(line)?, until: None }),
            Some((text, end)) => {
                let until = Timestamp::parse_rfc3339(end).ok_or(UnreadableSecrets::End)?;
                Ok(OldSecret { secret: secret(text)?, until: Some(until) })
            }
        };
        Ok(Self { current, old: lines.map(old).collect::<Result<_, _>>()? })
    }

    /// All of them in the clear, to be sealed. Nothing else calls this.
    #[must_use]
    pub fn expose(&self) -> String {
        let old = self.old.iter().map(|old| match old.until {
            Some(until) => format!("{} {until}", old.secret.expose()),
            None => old.secret.expose(),
        });
        std::iter::once(self.current.expose()).chain(old).collect::<Vec<_>>().join("\n")
    }

    /// `new` in front; what was current signs for `overlap` from `now` on, and older ones as long as they would have. Those
    /// whose time is over are dropped, and all of them where there is no overlap.
    ///
    /// # Errors
    /// [`TooManyOld`]: none that still signs is dropped unasked.
    pub fn rotated(self, new: WebhookSecret, overlap: Duration, now: Timestamp) -> Result<Self, TooManyOld> {
        if overlap.is_zero() {
            return Ok(Self::new(new));
        }
        let before = OldSecret { secret: self.current, until: Some(now.plus(overlap)) };
        let old: Vec<OldSecret> =
            std::iter::once(before).chain(self.old.into_iter().filter(|old| old.signs_at(now))).collect();
        if old.len() > MAX_OLD_SECRETS { Err(TooManyOld) } else { Ok(Self { current: new, old }) }
    }

    /// Those that sign at `now`.
    #[must_use]
    pub fn at(self, now: Timestamp) -> SigningSecrets {
        let old = self.old.into_iter().filter(|old| old.signs_at(now)).map(|old| old.secret);
        SigningSecrets::with_old(self.current, old)
    }
}

impl OldSecret {
    fn signs_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::sign::{sign, verify};

    const DAY: Duration = Duration::from_secs(86_400);

    fn start() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-23T10:00:00Z").unwrap()
    }

    /// Which of `secrets` sign at `now`, after a way through the stored form.
    fn signing(stored: &EndpointSecrets, secrets: &[&WebhookSecret], now: Timestamp) -> Vec<bool> {
        let stored = EndpointSecrets::parse(&stored.expose()).unwrap();
        let signed = sign("evt_1", b"{}", &stored.at(now), now).unwrap();
        let mut headers = reqwest::header::HeaderMap::new();
        for (name, value) in [
            ("webhook-id", signed.id),
            ("webhook-timestamp", signed.timestamp),
            ("webhook-signature", signed.signature),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let fits = |secret: &&WebhookSecret| verify(&headers, b"{}", &[(*secret).clone()], now, DAY).is_ok();
        secrets.iter().map(fits).collect()
    }

    #[test]
    fn the_secret_before_signs_until_its_overlap_ends_and_not_a_moment_longer() {
        let [first, second, third] = [(); 3].map(|()| WebhookSecret::generate());
        let all = [&first, &second, &third];
        let stored = EndpointSecrets::new(first.clone());
        assert_eq!(signing(&stored, &all, start()), [true, false, false]);
        let stored = stored.rotated(second.clone(), DAY, start()).unwrap();
        let half = start().plus(DAY / 2);
        let stored = stored.rotated(third.clone(), DAY, half).unwrap();
        let just_before = Timestamp::from_micros(start().plus(DAY).as_micros() - 1);
        for (now, want) in [
            (half, [true, true, true]),
            (just_before, [true, true, true]),
            (start().plus(DAY), [false, true, true]),
            (half.plus(DAY), [false, false, true]),
        ] {
            assert_eq!(signing(&stored, &all, now), want, "{now}");
        }
        let stored = stored.rotated(first.clone(), Duration::ZERO, half).unwrap();
        assert_eq!(signing(&stored, &all, half), [true, false, false], "without an overlap only the new one signs");
    }

    #[test]
    fn what_is_over_is_dropped_and_what_still_signs_is_not() {
        let mut stored = EndpointSecrets::new(WebhookSecret::generate());
        for _ in 0..MAX_OLD_SECRETS {
            stored = stored.rotated(WebhookSecret::generate(), DAY, start()).unwrap();
        }
        let one_more = |now| stored.clone().rotated(WebhookSecret::generate(), DAY, now);
        assert_eq!(one_more(start()).unwrap_err(), TooManyOld);
        assert_eq!(one_more(start().plus(DAY)).unwrap().expose().lines().count(), 2);
    }

    #[test]
    fn damage_is_told_without_the_secret() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        for (text, error) in [
            (String::new(), "no signing secret is stored"),
            ("whsec_MfKQ".to_owned(), "a stored signing secret is damaged"),
            (format!("{secret}\nwhsec_MfKQ"), "a stored signing secret is damaged"),
            (format!("{secret}\n{secret} tomorrow"), "the end of an old signing secret is no time"),
        ] {
            assert_eq!(EndpointSecrets::parse(&text).unwrap_err().to_string(), error);
        }
        let without_end = EndpointSecrets::parse(&format!("{secret}\n{secret}")).unwrap();
        assert_eq!(without_end.old.len(), 1);
        assert!(!format!("{without_end:?}").contains("MfKQ"));
    }
}
