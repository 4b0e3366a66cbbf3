//! The canonical statuses: their names are the public contract.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::DataError;
use crate::contract::answer::Priority;

/// Index of a status in the taxonomy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusId(pub(super) u8);

/// What the mailbox owner still has to do in the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThreadState {
    /// An answer is owed.
    NeedsReply,
    /// Somebody else is next.
    Waiting,
    /// Nothing is open.
    Done,
    /// Not a conversation.
    None,
}

/// One canonical status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Public name.
    pub name: String,
    /// Area it belongs to.
    pub area: String,
    /// Default priority.
    pub priority: Priority,
    /// Whether what goes out in answer needs approval by default.
    pub approval_required: bool,
    /// Whether at least one task is expected.
    pub task_expected: bool,
    /// Thread state for the mailbox owner.
    pub thread_state: ThreadState,
    /// One line that says what it means.
    pub definition: String,
}

/// The closed list of canonical statuses, in order of name.
#[derive(Debug, Clone)]
pub struct Taxonomy {
    statuses: Vec<Status>,
    by_name: BTreeMap<String, StatusId>,
}

impl Taxonomy {
    pub(super) fn read(json: &str) -> Result<Self, DataError> {
        let file: TaxonomyFile = serde_json::from_str(json).map_err(DataError::Taxonomy)?;
        let mut taxonomy = Self { statuses: Vec::new(), by_name: BTreeMap::new() };
        for (name, row) in file.statuses {
            let id = u8::try_from(taxonomy.statuses.len()).map_err(|_| DataError::TooMany("statuses"))?;
            taxonomy.by_name.insert(name.clone(), StatusId(id));
            taxonomy.statuses.push(Status {
                name,
                area: row.area,
                priority: row.prio,
                approval_required: row.appr,
                task_expected: row.task,
                thread_state: row.state,
                definition: row.def,
            });
        }
        Ok(taxonomy)
    }

    /// All statuses, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = &Status> {
        self.statuses.iter()
    }

    /// Number of statuses.
    #[must_use]
    pub fn len(&self) -> usize {
        self.statuses.len()
    }

    /// Whether there is no status at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.statuses.is_empty()
    }

    /// The status of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Status> {
        self.by_name.get(name).and_then(|id| self.statuses.get(usize::from(id.0)))
    }

    pub(super) fn id(&self, name: &str) -> Result<StatusId, DataError> {
        self.by_name.get(name).copied().ok_or_else(|| DataError::UnknownStatus(name.to_owned()))
    }

    pub(super) fn status(&self, id: StatusId) -> Option<&Status> {
        self.statuses.get(usize::from(id.0))
    }
}

#[derive(Deserialize)]
struct TaxonomyFile {
    statuses: BTreeMap<String, StatusRow>,
}

#[derive(Deserialize)]
struct StatusRow {
    area: String,
    prio: Priority,
    appr: bool,
    task: bool,
    state: ThreadState,
    def: String,
}
