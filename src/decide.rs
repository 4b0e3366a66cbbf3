//! From a message to a decision: canonical status, priority, approval, the app's own words and operations.
//!
//! Pure and deterministic: the same bytes give the same answer on every run and machine. No clock, no randomness, no
//! model call. It never sends or stores anything, never puts a weight or threshold into an answer, and where the text
//! supports no status it says so ([`Decision::reasoning`]`.abstained`) and asks a person. Approval is policy, not a
//! prediction: every rule can add one, none can take one away.
//!
//! # Security
//! All text is hostile. It is cut to a bound before it is read, work is linear in its length, and what a message says
//! can never make an operation of abuse mail apply itself.

mod matter;
mod taxonomy;

pub use matter::{AppProfile, Automated, Decision, Direction, Matter, ProposedOperation, ReplyOwner};
pub use taxonomy::{Status, Taxonomy, ThreadState};

use crate::contract::answer::{Canonical, Mapped, Priority, Reasoning};

/// What is wrong with the compiled-in data files; shown at start, never caused by mail.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The taxonomy is not readable.
    #[error("taxonomy: {0}")]
    Taxonomy(#[source] serde_json::Error),
    /// A status is named that the taxonomy does not have.
    #[error("unknown status `{0}`")]
    UnknownStatus(String),
    /// A table is longer than its index.
    #[error("too many {0}")]
    TooMany(&'static str),
}

/// The decision engine, compiled once from the data files.
#[derive(Debug)]
pub struct Engine {
    taxonomy: Taxonomy,
    version: String,
}

impl Engine {
    /// Compiles the engine from the data files in the binary.
    ///
    /// # Errors
    /// When a data file contradicts itself, which a test of this module rules out for released files.
    pub fn new() -> Result<Self, DataError> {
        let taxonomy = Taxonomy::read(include_str!("decide/data/taxonomy.json"))?;
        Ok(Self { taxonomy, version: "0".to_owned() })
    }

    /// Version of signals and taxonomy: data version and a prefix of their digest.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The canonical statuses.
    #[must_use]
    pub fn taxonomy(&self) -> &Taxonomy {
        &self.taxonomy
    }

    /// Decides on one message or app event.
    #[must_use]
    pub fn decide(&self, _matter: &Matter<'_>, app: &AppProfile) -> Decision {
        Decision {
            canonical: Canonical {
                status: "unclear".to_owned(),
                area: "general".to_owned(),
                priority: Priority::Normal,
                approval_required: true,
                approval_reasons: vec!["low_confidence".to_owned()],
                next_best_action: "Ask a person to read the message".to_owned(),
                confidence: 0.1,
                due_at: None,
                language: None,
                automated: None,
            },
            mapped: Mapped {
                app_name: app.name.clone(),
                current_status: app.context.current_status.clone(),
                status: None,
                inbox: None,
                matched_by: "unmapped".to_owned(),
            },
            operations: Vec::new(),
            graph_hints: Vec::new(),
            abuse_signals: Vec::new(),
            reasoning: Reasoning {
                engine: "local".to_owned(),
                version: self.version.clone(),
                model_called: false,
                abstained: true,
                signals: Vec::new(),
            },
        }
    }
}
