//! What a log amounts to: whether a message may leave by it. Rows in another order than the chain's let nothing leave.

use serde_json::Value;

use super::Link;

/// How far the chain has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Reached {
    Nothing,
    Written,
    Asked,
    Approved,
    Released,
    Sending,
}

/// A row of the log, as far as the chain is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogRow<C> {
    pub(crate) link: Link,
    /// The content that it is about.
    pub(crate) content: Option<C>,
    /// The places of the recipients that it is about, as bits.
    pub(crate) places: u64,
    /// It was released without a person's yes.
    pub(crate) is_by_policy: bool,
}

/// The chain of one draft; `C` says which content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Chain<C> {
    content: Option<C>,
    reached: Reached,
    /// For whom the verdict of the present attempt is on record, as bits.
    on_record: u64,
}

impl<C: PartialEq> Chain<C> {
    /// Of a log that says nothing.
    pub(crate) const fn empty() -> Self {
        Self { content: None, reached: Reached::Nothing, on_record: 0 }
    }

    /// With one more row.
    pub(crate) fn behind(mut self, row: LogRow<C>) -> Self {
        let is_present = row.content.is_some() && row.content == self.content;
        self.reached = match (row.link, self.reached) {
            (Link::Created | Link::Edited, _) => {
                return Self { content: row.content, reached: Reached::Written, on_record: 0 };
            }
            (Link::Asked, at) if is_present && at > Reached::Nothing => Reached::Asked,
            (Link::Approved, Reached::Asked) if is_present => Reached::Approved,
            (Link::Released, Reached::Approved) if is_present => Reached::Released,
            (Link::Released, at) if is_present && at > Reached::Nothing && row.is_by_policy => Reached::Released,
            (Link::Sending, Reached::Released | Reached::Sending) if is_present => {
                self.on_record |= row.places;
                Reached::Sending
            }
            // The verdict was of that attempt alone.
            (Link::Tried | Link::Lost, at) => {
                self.on_record &= !row.places;
                at
            }
            _ => return Self::empty(),
        };
        self
    }

    /// Whether this content may leave for the recipient at this place.
    pub(crate) fn lets_leave(&self, content: &C, place: usize) -> bool {
        self.reached == Reached::Sending && self.content.as_ref() == Some(content) && self.on_record & (1 << place) != 0
    }
}

impl Chain<String> {
    /// With one more row of the store's log; one of another kind changes nothing.
    pub(crate) fn behind_stored(self, action: &str, detail: &Value) -> Self {
        let Some(link) = Link::ALL.into_iter().find(|link| link.action() == action) else { return self };
        let content = ["/contentHash", "/verdict/contentHash"].into_iter().find_map(|at| detail.pointer(at)?.as_str());
        let many = detail["positions"].as_array().into_iter().flatten();
        let places = many.chain(detail.get("position")).filter_map(Value::as_u64).fold(0, |all, one| all | (1 << one));
        let is_let_out = link != Link::Sending || detail["verdict"]["ruling"] == "release";
        let is_by_policy = detail["evidence"]["kind"] == "policy";
        let row = LogRow { link, content: content.map(str::to_owned), places, is_by_policy };
        if is_let_out { self.behind(row) } else { Self::empty() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [Link; 5] = [Link::Created, Link::Asked, Link::Approved, Link::Released, Link::Sending];

    fn of(links: &[Link]) -> Chain<u8> {
        let row = |link| LogRow { link, content: Some(1), places: 0b1, is_by_policy: false };
        links.iter().fold(Chain::empty(), |chain, link| chain.behind(row(*link)))
    }

    #[test]
    fn a_message_leaves_by_its_whole_chain_alone_in_its_order_and_once_for_each_verdict() {
        assert!(of(&WHOLE).lets_leave(&1, 0));
        assert!(!of(&WHOLE).lets_leave(&2, 0) && !of(&WHOLE).lets_leave(&1, 1));
        for (at, left_out) in WHOLE.iter().enumerate() {
            let rest: Vec<Link> = WHOLE.iter().copied().filter(|link| link != left_out).collect();
            assert!(!of(&rest).lets_leave(&1, 0), "without {left_out:?}");
            let mut swapped = WHOLE;
            swapped.swap(at, (at + 1) % WHOLE.len());
            assert!(!of(&swapped).lets_leave(&1, 0), "{swapped:?}");
        }
        for ended in [Link::Tried, Link::Lost] {
            let tried = [&WHOLE[..], &[ended]].concat();
            assert!(!of(&tried).lets_leave(&1, 0), "the next attempt has a verdict of its own");
            assert!(of(&[&tried[..], &[Link::Sending]].concat()).lets_leave(&1, 0));
        }
        let edited = [&WHOLE[..4], &[Link::Edited, Link::Sending]].concat();
        assert!(!of(&edited).lets_leave(&1, 0));
    }

    #[test]
    fn by_policy_nobody_is_asked() {
        let row = |link| LogRow { link, content: Some(1), places: 0b1, is_by_policy: true };
        let rows = [Link::Created, Link::Released, Link::Sending].map(row);
        assert!(rows.into_iter().fold(Chain::empty(), Chain::behind).lets_leave(&1, 0));
    }
}
