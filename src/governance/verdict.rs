//! The gate's answer: one ruling, with every reason that applied.

/// What the gate says, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ruling {
    /// It may be sent.
    Release,
    /// Not yet; each reason names what would lift it.
    Hold,
    /// The source app sends it.
    Handoff,
    /// Never this version.
    Deny,
}

impl Ruling {
    /// The word of the contract.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Hold => "hold",
            Self::Handoff => "handoff",
            Self::Deny => "deny",
        }
    }
}

/// One rule that applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// The rule's public code.
    pub code: &'static str,
    /// What it rules.
    pub ruling: Ruling,
    /// Whether it applied because a fact that it asks for is not known.
    pub is_unknown: bool,
    /// One sentence for people.
    pub sentence: &'static str,
    /// What would lift it.
    pub lifted_by: &'static str,
}

/// The gate's answer, with every reason that applied, in the order of the rule table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    reasons: Vec<Reason>,
}

impl Verdict {
    pub(super) const fn new(reasons: Vec<Reason>) -> Self {
        Self { reasons }
    }

    /// The strongest ruling of all reasons; `release` where there is none.
    #[must_use]
    pub fn ruling(&self) -> Ruling {
        self.reasons.iter().map(|reason| reason.ruling).max().unwrap_or(Ruling::Release)
    }

    /// Every reason that applied.
    #[must_use]
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }

    /// Their public codes.
    #[must_use]
    pub fn codes(&self) -> Vec<&'static str> {
        self.reasons.iter().map(|reason| reason.code).collect()
    }

    /// Whether the rule of this code applied.
    #[must_use]
    pub fn has(&self, code: &str) -> bool {
        self.reasons.iter().any(|reason| reason.code == code)
    }
}
