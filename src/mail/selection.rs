//! Which copies a route takes notice of: its lists of what is included and what is excluded.
//!
//! A stored format: each rule is a word (`address:ceo@harbor.example`, `direction:internal`, `list`), and words are only
//! ever added. Excluding wins over including, and where somebody is meant twice over (a detail of an address, a name below
//! a domain), a rule means all of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::mail::address::{Domain, Mailbox};
use crate::mail::copy::Direction;
use crate::mail::message::ListHeaders;

/// Rules that one list may have.
pub const LONGEST: usize = 500;

/// An author whose copies a `bcc` route takes: `address:ADDRESS` or `domain:DOMAIN`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuthorRule(CopyRule);

impl AuthorRule {
    /// Whether it means the mailbox with this address.
    #[must_use]
    pub fn means(&self, address: &str) -> bool {
        let person = Person::of(address);
        match &self.0 {
            CopyRule::Address(wanted) => person.is(wanted),
            CopyRule::Domain(wanted) => person.is_of(wanted),
            _ => false,
        }
    }
}

/// A text that means no author.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("means no author: write address:ADDRESS or domain:DOMAIN")]
pub struct NotAnAuthor;

impl FromStr for AuthorRule {
    type Err = NotAnAuthor;

    fn from_str(text: &str) -> Result<Self, NotAnAuthor> {
        match text.parse() {
            Ok(rule @ (CopyRule::Address(_) | CopyRule::Domain(_))) => Ok(Self(rule)),
            _ => Err(NotAnAuthor),
        }
    }
}

impl fmt::Display for AuthorRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl TryFrom<String> for AuthorRule {
    type Error = NotAnAuthor;

    fn try_from(text: String) -> Result<Self, NotAnAuthor> {
        text.parse()
    }
}

impl From<AuthorRule> for String {
    fn from(rule: AuthorRule) -> Self {
        rule.to_string()
    }
}

/// Something by which copies are chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CopyRule {
    /// Somebody in it has this address, with any detail where the rule has none.
    Address(Mailbox),
    /// Somebody in it is of this domain or of one below it.
    Domain(Domain),
    /// It went in this direction.
    Direction(Direction),
    /// It came over a mailing list (RFC 2369, RFC 2919).
    List,
    /// It was sent to many who can leave the list and not write to it (RFC 2369 §3.2, RFC 8058).
    Newsletter,
    /// It reached somebody through this group, by a journal report's `Expanded:` or by a header.
    Group(Mailbox),
}

/// A text that is no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no rule: write address:ADDRESS, domain:DOMAIN, group:ADDRESS, direction:inbound, direction:outbound, \
     direction:internal, list, or newsletter"
)]
pub struct NotARule;

/// What of a message the rules ask for.
#[derive(Debug, Clone, Copy)]
pub struct Chosen<'a> {
    /// Author, sender, envelope sender, and all recipients, blind ones too.
    pub people: &'a [&'a str],
    /// Groups that a journal report names.
    pub groups: &'a [String],
    /// In which direction it went.
    pub direction: Direction,
    /// Its mailing-list fields.
    pub list: Option<&'a ListHeaders>,
}

/// Why a copy is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// A rule excludes it.
    Excluded,
    /// There are rules that include, and none means it.
    NotIncluded,
}

impl LeftOut {
    /// The public word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Excluded => "excluded",
            Self::NotIncluded => "not_included",
        }
    }
}

/// A route's two lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// What is taken notice of; empty: everything.
    pub include: Vec<CopyRule>,
    /// What is not, whatever else holds.
    pub exclude: Vec<CopyRule>,
}

impl Selection {
    /// Why a copy is left out; `None` where it is not.
    #[must_use]
    pub fn leaves_out(&self, copy: &Chosen<'_>) -> Option<LeftOut> {
        if self.include.is_empty() && self.exclude.is_empty() {
            return None;
        }
        let people: Vec<Person<'_>> = copy.people.iter().map(|text| Person::of(text)).collect();
        let groups: Vec<Person<'_>> = copy.groups.iter().map(|text| Person::of(text)).collect();
        let means = |rule: &CopyRule| rule.means(copy, &people, &groups);
        if self.exclude.iter().any(means) {
            return Some(LeftOut::Excluded);
        }
        (!self.include.is_empty() && !self.include.iter().any(means)).then_some(LeftOut::NotIncluded)
    }
}

/// An address, read once for all rules.
struct Person<'a> {
    /// As it was written, for one that is no valid mailbox.
    text: &'a str,
    mailbox: Option<Mailbox>,
}

impl<'a> Person<'a> {
    fn of(text: &'a str) -> Self {
        Self { text, mailbox: Mailbox::parse(text).ok() }
    }

    fn is(&self, wanted: &Mailbox) -> bool {
        match &self.mailbox {
            Some(mailbox) => mailbox.key() == wanted.key() || mailbox.key_without_detail() == wanted.key(),
            None => self.text.trim().eq_ignore_ascii_case(&wanted.to_string()),
        }
    }

    fn is_of(&self, wanted: &Domain) -> bool {
        let own = match &self.mailbox {
            Some(mailbox) => mailbox.domain().as_str().to_owned(),
            None => self.text.rsplit('@').next().unwrap_or_default().trim().to_ascii_lowercase(),
        };
        let above = own.strip_suffix(wanted.as_str());
        above.is_some_and(|below| below.is_empty() || below.ends_with('.'))
    }
}

impl CopyRule {
    fn means(&self, copy: &Chosen<'_>, people: &[Person<'_>], groups: &[Person<'_>]) -> bool {
        let with = |field: fn(&ListHeaders) -> bool| copy.list.is_some_and(field);
        match self {
            Self::Address(wanted) => people.iter().any(|person| person.is(wanted)),
            Self::Domain(wanted) => people.iter().any(|person| person.is_of(wanted)),
            Self::Direction(wanted) => copy.direction == *wanted,
            Self::List => with(|list| list.id.is_some() || can_be_written_to(list)),
            Self::Newsletter => {
                with(|list| (list.unsubscribe.is_some() || list.unsubscribe_post.is_some()) && !can_be_written_to(list))
            }
            Self::Group(wanted) => people.iter().chain(groups).any(|person| person.is(wanted)),
        }
    }
}

/// RFC 2369 §3.4: `NO` says that a list takes no mail.
fn can_be_written_to(list: &ListHeaders) -> bool {
    let is_no = |post: &str| post.split(['(', ' ']).next().is_some_and(|word| word.eq_ignore_ascii_case("no"));
    list.post.as_deref().is_some_and(|post| !is_no(post.trim()))
}

impl FromStr for CopyRule {
    type Err = NotARule;

    fn from_str(text: &str) -> Result<Self, NotARule> {
        let mailbox = |address: &str| Mailbox::parse(address).map_err(|_| NotARule);
        match text.split_once(':') {
            Some(("address", address)) => mailbox(address).map(Self::Address),
            Some(("group", address)) => mailbox(address).map(Self::Group),
            Some(("domain", domain)) => Domain::parse(domain).map(Self::Domain).map_err(|_| NotARule),
            Some(("direction", "inbound")) => Ok(Self::Direction(Direction::Inbound)),
            Some(("direction", "outbound")) => Ok(Self::Direction(Direction::Outbound)),
            Some(("direction", "internal")) => Ok(Self::Direction(Direction::Internal)),
            None if text == "list" => Ok(Self::List),
            None if text == "newsletter" => Ok(Self::Newsletter),
            _ => Err(NotARule),
        }
    }
}

impl fmt::Display for CopyRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(formatter, "address:{address}"),
            Self::Group(address) => write!(formatter, "group:{address}"),
            Self::Domain(domain) => write!(formatter, "domain:{domain}"),
            Self::Direction(Direction::Inbound) => formatter.write_str("direction:inbound"),
            Self::Direction(Direction::Outbound) => formatter.write_str("direction:outbound"),
            Self::Direction(Direction::Internal) => formatter.write_str("direction:internal"),
            Self::Direction(Direction::Unknown) => formatter.write_str("direction:unknown"),
            Self::List => formatter.write_str("list"),
            Self::Newsletter => formatter.write_str("newsletter"),
        }
    }
}

impl TryFrom<String> for CopyRule {
    type Error = NotARule;

    fn try_from(text: String) -> Result<Self, NotARule> {
        text.parse()
    }
}

impl From<CopyRule> for String {
    fn from(rule: CopyRule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(text: &str) -> CopyRule {
        text.parse().unwrap_or_else(|error| panic!("{text} {error}"))
    }

    fn copy<'a>(people: &'a [&'a str], groups: &'a [String], list: Option<&'a ListHeaders>) -> Chosen<'a> {
        Chosen { people, groups, direction: Direction::Internal, list }
    }

    fn means(rule_text: &str, copy: &Chosen<'_>) -> bool {
        let selection = Selection { include: Vec::new(), exclude: vec![rule(rule_text)] };
        selection.leaves_out(copy) == Some(LeftOut::Excluded)
    }

    #[test]
    fn each_rule_means_what_it_says_and_no_more() {
        let groups = ["Board@harbor.example".to_owned()];
        let people = ["CEO+private@harbor.example", "ann@mail.lake.example", "not an address"];
        let copy = copy(&people, &groups, None);
        for word in [
            "address:ceo@harbor.example",
            "address:ceo+private@HARBOR.example",
            "domain:harbor.example",
            "domain:lake.example",
            "group:board@harbor.example",
            "group:ann@mail.lake.example",
            "direction:internal",
        ] {
            assert!(means(word, &copy), "{word}");
        }
        for word in [
            "address:ceo+other@harbor.example",
            "address:board@harbor.example",
            "address:eo@harbor.example",
            "domain:bor.example",
            "domain:other.mail.lake.example",
            "group:cfo@harbor.example",
            "direction:inbound",
            "list",
            "newsletter",
        ] {
            assert!(!means(word, &copy), "{word}");
        }
    }

    #[test]
    fn a_list_can_be_written_to_and_a_newsletter_cannot() {
        let fields = |id: Option<&str>, post: Option<&str>, unsubscribe: Option<&str>| ListHeaders {
            id: id.map(str::to_owned),
            post: post.map(str::to_owned),
            unsubscribe: unsubscribe.map(str::to_owned),
            unsubscribe_post: None,
        };
        let rows = [
            (fields(Some("<x.lists.example>"), Some("<mailto:x@lists.example>"), Some("<https://u>")), (true, false)),
            (fields(Some("<news.shop.example>"), None, Some("<https://u>")), (true, true)),
            (fields(None, Some("NO (announcements)"), Some("<https://u>")), (false, true)),
            (fields(None, None, Some("<https://u>")), (false, true)),
            (fields(None, Some("<mailto:x@lists.example>"), None), (true, false)),
        ];
        for (list, expected) in rows {
            let copy = copy(&[], &[], Some(&list));
            assert_eq!((means("list", &copy), means("newsletter", &copy)), expected, "{list:?}");
        }
    }

    #[test]
    fn excluding_wins_and_what_no_rule_includes_is_left_out() {
        let people = ["ann@harbor.example", "hr@harbor.example"];
        let copy = copy(&people, &[], None);
        let leaves_out = |include: &[&str], exclude: &[&str]| {
            let rules = |words: &[&str]| words.iter().map(|word| rule(word)).collect();
            Selection { include: rules(include), exclude: rules(exclude) }.leaves_out(&copy)
        };
        assert_eq!(leaves_out(&[], &[]), None);
        assert_eq!(leaves_out(&["address:ann@harbor.example"], &[]), None);
        assert_eq!(leaves_out(&["address:bob@harbor.example", "list"], &[]), Some(LeftOut::NotIncluded));
        assert_eq!(leaves_out(&[], &["address:bob@harbor.example"]), None);
        let excluded = Some(LeftOut::Excluded);
        assert_eq!(leaves_out(&["address:ann@harbor.example"], &["address:hr@harbor.example"]), excluded);
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in ["", "list:", "domain:", "address:nobody", "direction:unknown", "direction:up", "group", "List"] {
            assert_eq!(text.parse::<CopyRule>(), Err(NotARule), "{text}");
        }
    }

    fn any_rule() -> impl Strategy<Value = CopyRule> {
        let words = prop_oneof![
            "(address|group):[a-d]{1,2}(\\+[a-b])?@[a-c]\\.example",
            "domain:([a-c]\\.)?[a-c]\\.example",
            "direction:(inbound|outbound|internal)",
            "list|newsletter",
        ];
        words.prop_map(|word| rule(&word))
    }

    fn any_list() -> impl Strategy<Value = Option<ListHeaders>> {
        let field = || proptest::option::of("NO|<mailto:x@a\\.example>");
        proptest::option::of((field(), field(), field()).prop_map(|(id, post, unsubscribe)| ListHeaders {
            id,
            post,
            unsubscribe,
            unsubscribe_post: None,
        }))
    }

    proptest! {
        #[test]
        fn what_is_excluded_stays_excluded_whatever_is_added(
            exclude in proptest::collection::vec(any_rule(), 0..4),
            include in proptest::collection::vec(any_rule(), 0..4),
            more in any_rule(),
            people in proptest::collection::vec("[a-d]{1,2}(\\+[a-b])?@([a-c]\\.)?[a-c]\\.example|\\PC{0,8}", 0..4),
            groups in proptest::collection::vec("[a-d]{1,2}@[a-c]\\.example", 0..2),
            list in any_list(),
        ) {
            let people: Vec<&str> = people.iter().map(String::as_str).collect();
            let copy = copy(&people, &groups, list.as_ref());
            let selection = Selection { include, exclude };
            let before = selection.leaves_out(&copy);
            let alone = Selection { include: Vec::new(), exclude: selection.exclude.clone() }.leaves_out(&copy);
            // Excluding asks nobody for what is included.
            prop_assert_eq!(before == Some(LeftOut::Excluded), alone.is_some());
            let mut wider = selection.clone();
            wider.exclude.push(more.clone());
            prop_assert!(before.is_none() || wider.leaves_out(&copy).is_some());
            let mut open = selection.clone();
            if !open.include.is_empty() {
                open.include.push(more);
                prop_assert!(before.is_some() || open.leaves_out(&copy).is_none());
            }
        }

        #[test]
        fn a_rule_is_read_back_as_it_was_written(rule in any_rule()) {
            prop_assert_eq!(rule.to_string().parse::<CopyRule>(), Ok(rule));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<CopyRule>();
            let people = [text.as_str()];
            let selection = Selection { include: Vec::new(), exclude: vec![rule("address:a@b.example"), rule("domain:b.example")] };
            let _ = selection.leaves_out(&copy(&people, &[], None));
        }
    }

    #[test]
    fn an_author_is_an_address_or_a_domain() {
        for text in ["address:mia@harbor.example", "domain:harbor.example"] {
            assert_eq!(text.parse::<AuthorRule>().unwrap().to_string(), text);
        }
        for text in ["group:all@harbor.example", "direction:inbound", "list", "newsletter", "mia@harbor.example", ""] {
            assert_eq!(text.parse::<AuthorRule>(), Err(NotAnAuthor), "{text}");
        }
        let means = |rule: &str, address| rule.parse::<AuthorRule>().unwrap().means(address);
        assert!(
            means("address:mia@harbor.example", "Mia+crm@harbor.example")
                && means("domain:harbor.example", "a@b.harbor.example")
        );
        assert!(
            !means("address:mia@harbor.example", "eve@harbor.example")
                && !means("domain:harbor.example", "a@notharbor.example")
        );
    }
}
