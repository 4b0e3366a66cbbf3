//! What was found, how bad it is, and what to do.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Good,
    /// It may be meant so.
    Note,
    /// Mail suffers, or will.
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at: a word.
    pub(super) check: &'static str,
    /// How bad it is.
    pub(super) level: Level,
    /// What was found.
    pub(super) what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn good(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, level: Level::Good, what: what.into(), remedy: None }
    }

    pub(super) fn note(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Note, what: what.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn problem(check: &'static str, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, level: Level::Problem, what: what.into(), remedy: Some(remedy.into()) }
    }
}
