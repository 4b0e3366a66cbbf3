//! What a key may do, one word each.

use std::fmt;

/// One permission of a key. Only scopes that open something today have a name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Evaluate events, report outcomes, read trust and insights. The default.
    StatusEvaluate,
    /// Read the event log and its stream.
    EventsRead,
    /// Read messages and the chain of ids that explains them.
    MessagesRead,
    /// Read the exact bytes of messages.
    MessagesRaw,
    /// Hand mail over: AUTH of SMTP, and the intake calls of the API.
    MailIngest,
    /// See the blind recipients of journal reports, in what other scopes let it read.
    JournalBcc,
    /// See which domains the tenant claims, and what stands in DNS of what they need.
    DomainsRead,
    /// Claim domains, have their proof looked for, and give them up.
    DomainsWrite,
    /// See drafts, and what the gate says to them.
    DraftsRead,
    /// Propose drafts, edit them, ask for their release, and take them back. Never approve.
    DraftsWrite,
    /// See what people are asked.
    ApprovalsRead,
    /// Report what a source app made of drafts that it was asked to send. It approves nothing.
    ApprovalsReport,
    /// Read receipts of releases, the head of the audit log, and the policy.
    AuditRead,
    /// See which intake routes the tenant has, without their addresses, and what was seen of them.
    RoutesRead,
    /// Make, change, move and retire intake routes, and have held copies decided on again.
    RoutesWrite,
}

impl Scope {
    /// Every scope, in the order in which they are shown.
    pub const ALL: [Self; 15] = [
        Self::StatusEvaluate,
        Self::EventsRead,
        Self::MessagesRead,
        Self::MessagesRaw,
        Self::MailIngest,
        Self::JournalBcc,
        Self::DomainsRead,
        Self::DomainsWrite,
        Self::DraftsRead,
        Self::DraftsWrite,
        Self::ApprovalsRead,
        Self::ApprovalsReport,
        Self::AuditRead,
        Self::RoutesRead,
        Self::RoutesWrite,
    ];

    /// The word of the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StatusEvaluate => "status:evaluate",
            Self::EventsRead => "events:read",
            Self::MessagesRead => "messages:read",
            Self::MessagesRaw => "messages:raw",
            Self::MailIngest => "mail:ingest",
            Self::JournalBcc => "journal:bcc",
            Self::DomainsRead => "domains:read",
            Self::DomainsWrite => "domains:write",
            Self::DraftsRead => "drafts:read",
            Self::DraftsWrite => "drafts:write",
            Self::ApprovalsRead => "approvals:read",
            Self::ApprovalsReport => "approvals:report",
            Self::AuditRead => "audit:read",
            Self::RoutesRead => "routes:read",
            Self::RoutesWrite => "routes:write",
        }
    }

    /// Reads the word of the contract.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }

    const fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u32);

impl Scopes {
    /// The set of `scopes`.
    #[must_use]
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |bits, scope| bits | scope.bit()))
    }

    /// Every scope there is.
    #[must_use]
    pub fn all() -> Self {
        Self::of(&Scope::ALL)
    }

    /// Reads words separated by spaces. Words of another version are left out: they grant nothing here.
    #[must_use]
    pub fn parse(words: &str) -> Self {
        Self::of(&words.split_ascii_whitespace().filter_map(Scope::parse).collect::<Vec<_>>())
    }

    /// Whether `scope` is in it.
    #[must_use]
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// The scopes in it, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

/// The words, separated by spaces: the stored form.
impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            if index > 0 {
                formatter.write_str(" ")?;
            }
            formatter.write_str(scope.as_str())?;
        }
        Ok(())
    }
}
