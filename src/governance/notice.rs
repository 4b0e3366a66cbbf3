//! What the gateway itself tells people by mail. The words are here, and nobody else chooses any: only the gate makes mail
//! of them ([`super::gate::system_notice`]).
//!
//! Of a message nothing comes in but its subject, on one line and so that no program makes a link of it. The link that is
//! there opens a page, where a person signs in and is asked; to open it does nothing.
//!
//! Standards: RFC 3834 §5 (`Auto-Submitted`).

use super::facts::Fact;
use super::role::Role;
use crate::clock::Timestamp;
use crate::ids::{ApprovalId, DraftId, NoticeId, TenantId};
use crate::mail::address::{Domain, Mailbox};

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoticeKind {
    /// Somebody is invited to make an account.
    Invitation,
    /// Somebody signed in at a browser that was not seen before.
    SignIn,
    /// A draft waits for an answer.
    ApprovalWaits,
    /// Nobody answered for a while.
    ApprovalEscalated,
    /// Nobody knows whether a message was taken.
    TransmissionUnknown,
}

impl NoticeKind {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Invitation, Self::SignIn, Self::ApprovalWaits, Self::ApprovalEscalated, Self::TransmissionUnknown];

    /// The word that is stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::SignIn => "sign_in",
            Self::ApprovalWaits => "approval_waits",
            Self::ApprovalEscalated => "approval_escalated",
            Self::TransmissionUnknown => "transmission_unknown",
        }
    }

    /// What a stored word stands for.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether one that waits tells of all: of these a person gets one at a time.
    #[must_use]
    pub const fn tells_of_all(self) -> bool {
        matches!(self, Self::ApprovalWaits | Self::ApprovalEscalated)
    }
}

/// What a notice tells, with all that may be in it.
#[derive(Clone, PartialEq, Eq)]
pub enum Telling {
    /// A link by which an account is made.
    Invitation {
        /// What the person may do then.
        role: Role,
        /// The secret of the link.
        token: String,
        /// Until when it can be used.
        until: Timestamp,
    },
    /// A new browser.
    SignIn {
        /// When.
        at: Timestamp,
        /// From where.
        address: Option<String>,
        /// What the browser calls itself.
        browser: Option<String>,
    },
    /// A question.
    Approval {
        /// The question.
        approval: ApprovalId,
        /// The subject of the draft.
        subject: String,
        /// How many more wait.
        others: u32,
        /// Whether those who were asked first did not answer.
        is_escalated: bool,
    },
    /// A message of which nobody knows whether it was taken.
    TransmissionUnknown {
        /// Its draft.
        draft: DraftId,
        /// Its subject.
        subject: String,
    },
}

impl Telling {
    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> NoticeKind {
        match self {
            Self::Invitation { .. } => NoticeKind::Invitation,
            Self::SignIn { .. } => NoticeKind::SignIn,
            Self::Approval { is_escalated: false, .. } => NoticeKind::ApprovalWaits,
            Self::Approval { is_escalated: true, .. } => NoticeKind::ApprovalEscalated,
            Self::TransmissionUnknown { .. } => NoticeKind::TransmissionUnknown,
        }
    }
}

/// Its kind only: the link of an invitation is a secret.
impl std::fmt::Debug for Telling {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.kind().as_str())
    }
}

/// A notice to one person: data, and by itself no permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Its id.
    pub id: NoticeId,
    /// In whose matters.
    pub tenant: TenantId,
    /// What the tenant is called.
    pub organisation: String,
    /// What it tells.
    pub telling: Telling,
    /// Where this gateway's pages are, without a slash at the end.
    pub base_url: String,
    /// When it was made.
    pub made_at: Timestamp,
    /// From this moment on it is not sent any more.
    pub expires_at: Timestamp,
}

/// To whom it would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressee {
    /// The tenant whose account or invitation it is.
    pub tenant: TenantId,
    /// The address of that account or invitation.
    pub address: Mailbox,
    /// Whether the person can sign in, or use the invitation.
    pub is_active: bool,
    /// Whether the person wants notices of this kind.
    pub is_wanted: bool,
}

/// What the gate is told of a notice. The default knows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoticeFacts {
    /// The address from which notices come.
    pub from: Fact<Mailbox>,
    /// The domains of this gateway itself.
    pub platform_domains: Fact<Vec<Domain>>,
    /// Whether the domain of `from` has an active key whose record was seen.
    pub has_matching_key: Fact<bool>,
    /// To whom it would go.
    pub addressee: Fact<Addressee>,
    /// Whether the address came back, or its owner complained.
    pub is_suppressed: Fact<bool>,
    /// Whether all sending of the gateway is stopped.
    pub is_paused: Fact<bool>,
}

/// Why a notice is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoticeRefused {
    /// Something is not known that must be.
    #[error("something is not known that must be")]
    Unknown,
    /// All sending is stopped.
    #[error("all sending is paused")]
    Paused,
    /// There is no key that may sign it.
    #[error("the sender's domain has no active DKIM key whose record was seen")]
    Keys,
    /// The sender is not of this gateway.
    #[error("the sender is of no domain of this gateway")]
    Sender,
    /// The addressee is nobody of the tenant.
    #[error("the addressee is nobody of the tenant who could sign in")]
    Addressee,
    /// The addressee wants none.
    #[error("the addressee wants no notices of this kind")]
    Unwanted,
    /// Nothing is sent to the address.
    #[error("nothing is sent to the address any more")]
    Suppressed,
    /// It is too late.
    #[error("the notice is too old")]
    Expired,
}

impl NoticeRefused {
    /// Whether it may be otherwise later.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Unknown | Self::Paused | Self::Keys)
    }
}

/// Characters of a text that others chose.
const MOST: usize = 120;

impl Notice {
    /// Subject and text.
    pub(super) fn words(&self) -> (String, String) {
        let base = self.base_url.trim_end_matches('/');
        let organisation = shown(&self.organisation);
        let (subject, told, link, after) = match &self.telling {
            Telling::Invitation { role, token, until } => (
                format!("Your invitation to {organisation}"),
                format!(
                    "you are invited to {organisation} as {role}.\nOn this page you choose a password, until {}:",
                    day(*until)
                ),
                format!("{base}/invitations/{token}"),
                "The link is for you alone and can be used once. If you expected none, leave it: nothing happens.",
            ),
            Telling::SignIn { at, address, browser } => (
                format!("A new sign-in at {organisation}"),
                format!(
                    "somebody signed in with your address and password, at a browser that was not used before:\n\n    \
                     Time:    {}\n    From:    {}\n    Browser: {}\n\nWhere you are signed in, and how that is ended:",
                    minute(*at),
                    address.as_deref().map_or_else(|| "not known".to_owned(), shown),
                    browser.as_deref().map_or_else(|| "not known".to_owned(), shown),
                ),
                format!("{base}/account"),
                "If it was not you, change your password there: that ends all other sessions.",
            ),
            Telling::Approval { approval, subject, others, is_escalated } => (
                match is_escalated {
                    true => format!("Still without an answer: a draft waits at {organisation}"),
                    false => format!("A draft waits for your approval at {organisation}"),
                },
                format!(
                    "{}:\n\n    Subject: {}\n\n{}Read it and answer here, after you signed in:",
                    if *is_escalated {
                        "a draft waits, and those who were asked first have not answered"
                    } else {
                        "a draft waits for an answer"
                    },
                    shown(subject),
                    more(*others),
                ),
                if *others == 0 { format!("{base}/approvals/{approval}") } else { format!("{base}/approvals") },
                "To open the page approves nothing.",
            ),
            Telling::TransmissionUnknown { draft, subject } => (
                format!("Nobody knows whether a message of {organisation} arrived"),
                format!(
                    "the connection broke at the very end of a message, so that it may have been taken, or not:\n\n    \
                     Subject: {}\n    Draft:   {draft}\n\nIt is not sent again by itself. Ask its recipient before you do \
                     anything. What it says:",
                    shown(subject),
                ),
                format!("{base}/drafts/{draft}"),
                "To open the page changes nothing.",
            ),
        };
        let mut text = format!("Hello,\n\n{told}\n\n{link}\n\n{after}\n");
        if self.telling.kind() == NoticeKind::ApprovalWaits {
            text.push_str(&format!("You can turn off mail of this kind: {base}/account\n"));
        }
        (subject, text)
    }
}

fn more(others: u32) -> String {
    match others {
        0 => String::new(),
        1 => "One more waits.\n\n".to_owned(),
        others => format!("{others} more wait.\n\n"),
    }
}

fn minute(at: Timestamp) -> String {
    let exact = at.to_string();
    exact.get(..16).map_or_else(|| exact.clone(), |minute| format!("{} UTC", minute.replace('T', " ")))
}

fn day(at: Timestamp) -> String {
    let exact = at.to_string();
    exact.get(..10).unwrap_or(&exact).to_owned()
}

/// A text that others chose: on one line, short, without characters that are not seen, and so that no program makes a link of
/// it. Whoever writes a subject must not get words of theirs under our name.
fn shown(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let line: Vec<char> =
        text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !is_hidden(*c)).collect();
    let mut out = String::with_capacity(text.len().min(4 * MOST));
    for (place, letter) in line.iter().take(MOST).enumerate() {
        let next = line.get(place + 1);
        let before = place.checked_sub(1).and_then(|place| line.get(place));
        let is_joint = before.is_some_and(|c| c.is_alphanumeric()) && next.is_some_and(|c| c.is_alphanumeric());
        match letter {
            '.' if is_joint => out.push_str("[.]"),
            '@' if is_joint => out.push_str("[at]"),
            ':' if next == Some(&'/') => out.push_str("[:]"),
            letter => out.push(*letter),
        }
    }
    if line.len() > MOST {
        out.push('…');
    }
    out.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AT: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

    fn notice(telling: Telling) -> Notice {
        Notice {
            id: NoticeId::from_bits(1),
            tenant: TenantId::from_bits(1),
            organisation: "acme".into(),
            telling,
            base_url: "https://gate.example".into(),
            made_at: AT,
            expires_at: AT,
        }
    }

    fn question(subject: &str, others: u32) -> Telling {
        Telling::Approval { approval: ApprovalId::from_bits(9), subject: subject.into(), others, is_escalated: false }
    }

    #[test]
    fn each_kind_has_its_words_and_one_link_to_a_page_of_ours() {
        let tellings = [
            Telling::Invitation { role: Role::Approver, token: "secret".into(), until: AT },
            Telling::SignIn { at: AT, address: Some("192.0.2.7".into()), browser: None },
            question("Tuesday", 0),
            Telling::Approval {
                approval: ApprovalId::from_bits(9),
                subject: "x".into(),
                others: 2,
                is_escalated: true,
            },
            Telling::TransmissionUnknown { draft: DraftId::from_bits(4), subject: "x".into() },
        ];
        let mut subjects = Vec::new();
        for (telling, kind) in tellings.into_iter().zip(NoticeKind::ALL) {
            assert_eq!((telling.kind(), NoticeKind::from_word(kind.as_str())), (kind, Some(kind)));
            let (subject, text) = notice(telling).words();
            let turned_off = usize::from(kind == NoticeKind::ApprovalWaits);
            assert_eq!(text.matches("https://gate.example/").count(), 1 + turned_off, "{text}");
            assert!(subject.contains("acme") && text.lines().all(|line| line.len() < 160), "{text}");
            subjects.push(subject);
        }
        subjects.dedup();
        assert_eq!(subjects.len(), 5);
        let (_, one) = notice(question("Tuesday", 0)).words();
        assert!(one.contains("/approvals/apr_") && one.contains("Subject: Tuesday\n"), "{one}");
        let (_, several) = notice(question("Tuesday", 2)).words();
        assert!(several.contains("/approvals\n") && several.contains("2 more wait"), "{several}");
    }

    #[test]
    fn a_subject_becomes_no_link_and_no_line_of_its_own() {
        let evil = "Re: approve at\r\nhttps://evil.example/x or ann@evil.example \u{202e}v1.2 in 3.5 days.";
        assert_eq!(
            shown(evil),
            "Re: approve at  https[:]//evil[.]example/x or ann[at]evil[.]example v1[.]2 in 3[.]5 days."
        );
        assert!(shown(&"x".repeat(500)).chars().count() == MOST + 1);
    }

    proptest! {
        #[test]
        fn whatever_others_write_stays_on_its_line(text: String) {
            let line = shown(&text);
            prop_assert!(!line.contains(['\r', '\n']) && !line.contains("://") && line.len() <= 4 * 4 * MOST);
            let (_, told) = notice(question(&text, 0)).words();
            prop_assert_eq!(told.matches("https://").count(), 2);
            let calm = notice(question("x", 0)).words().1;
            prop_assert_eq!(told.lines().count(), calm.lines().count());
        }
    }
}
