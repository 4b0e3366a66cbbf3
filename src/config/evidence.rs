//! `[drafts]` and `[audit]`: how long what drafts hold is kept, and where heads of the audit log are written.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;

/// `[drafts]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drafts {
    /// How long what a draft holds of persons is kept once it is over; `None`: for ever.
    pub keep: Option<Duration>,
}

impl Drafts {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let keep = reader.duration("drafts.keep", 0..=3_153_600_000_000);
        // Answers to calls are repeated for a day, and limits count for one.
        if !keep.is_zero() && keep < LEAST_KEPT {
            reader.fault("drafts.keep", "must be 2d at least, or 0s for ever");
        }
        Self { keep: (!keep.is_zero()).then_some(keep) }
    }
}

const LEAST_KEPT: Duration = Duration::from_hours(48);

/// `[audit]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// The folder into which signed heads of all tenants' logs are written; `None`: none are.
    pub heads_dir: Option<PathBuf>,
    /// How often that is done, where a log has grown.
    pub heads_interval: Duration,
}

impl Audit {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            heads_dir: reader.optional_path("audit.heads_dir"),
            heads_interval: reader.duration("audit.heads_interval", 1_000..=86_400_000),
        }
    }
}
