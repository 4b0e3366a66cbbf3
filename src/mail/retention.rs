//! What is kept of the copies of a route, and for how long.

use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use crate::clock::Timestamp;

/// How much of a copy can be read once it was decided on. The order is that of how much it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Neither its bytes nor the texts of its event.
    None,
    /// The texts of its event, and not its bytes.
    Text,
    /// All of it.
    #[default]
    Raw,
}

impl Keep {
    /// Its word, on the command line and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Text => "text",
            Self::Raw => "raw",
        }
    }
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::None, Self::Text, Self::Raw];
        let found = all.into_iter().find(|keep| keep.as_str() == text);
        found.ok_or_else(|| format!("`{text}` is nothing that can be kept; use none, text or raw"))
    }
}

/// What a route keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// How much, from the moment of the decision.
    pub keep: Keep,
    /// For how many days, from the moment of arrival; `None`: for ever.
    pub days: Option<u32>,
    /// While this is on, all that is there stays.
    pub legal_hold: bool,
}

const DAY: u64 = 24 * 3_600;
/// Days for which copies that are held can still be decided on where their route keeps no bytes.
const HELD_DAYS: u64 = 30;

impl Retention {
    /// How much of a copy can be read once it was decided on.
    #[must_use]
    pub const fn at_decision(&self) -> Keep {
        if self.legal_hold { Keep::Raw } else { self.keep }
    }

    /// Copies that arrived before this moment are kept as decided ones are, whatever became of them: nobody has decided on
    /// them for long enough. `None` where the route keeps all of them, or none is as old.
    #[must_use]
    pub fn undecided_before(&self, now: Timestamp) -> Option<Timestamp> {
        (self.at_decision() < Keep::Raw).then(|| before(now, HELD_DAYS))
    }

    /// Copies that arrived before this moment are over; `None` where none ever is, or none is now.
    #[must_use]
    pub fn over_before(&self, now: Timestamp) -> Option<Timestamp> {
        let days = self.days.filter(|_| !self.legal_hold)?;
        Some(before(now, u64::from(days)))
    }
}

fn before(now: Timestamp, days: u64) -> Timestamp {
    let micros = i64::try_from(Duration::from_secs(days * DAY).as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_sub(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_over_before_its_days_are_and_a_hold_keeps_everything() {
        let now = Timestamp::from_micros(1_790_000_000_000_000);
        let route = Retention { keep: Keep::None, days: Some(30), legal_hold: false };
        let begin = route.over_before(now).unwrap();
        assert_eq!(now.as_micros() - begin.as_micros(), 30 * 24 * 3_600 * 1_000_000);
        assert_eq!(route.at_decision(), Keep::None);
        let held = Retention { legal_hold: true, ..route };
        assert_eq!((held.over_before(now), held.at_decision(), held.undecided_before(now)), (None, Keep::Raw, None));
        assert_eq!((route.undecided_before(now), Retention::default().undecided_before(now)), (Some(begin), None));
        assert_eq!(Retention::default().over_before(now), None);
        assert!(Retention { days: Some(u32::MAX), ..route }.over_before(now).is_some_and(|begin| begin < now));
    }

    #[test]
    fn words_are_read_back() {
        for keep in [Keep::None, Keep::Text, Keep::Raw] {
            assert_eq!(keep.as_str().parse(), Ok(keep));
        }
        assert!(Keep::None < Keep::Text && Keep::Text < Keep::Raw);
        assert!("all".parse::<Keep>().is_err());
    }
}
