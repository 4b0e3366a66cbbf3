//! What is wrong with a configuration: place, key, value, and what is allowed.

use std::fmt;
use std::path::Path;

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The compiled-in `config/connex.toml`.
    Default,
    /// A text or file, and the line in it (from 1).
    Line {
        /// Path or name of the text.
        file: String,
        /// Line, from 1.
        line: usize,
    },
    /// A file as a whole.
    File(String),
    /// An environment variable.
    Variable(String),
    /// An argument of the command line.
    Argument(String),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::Line { file, line } => write!(formatter, "{file}:{line}"),
            Self::File(name) | Self::Variable(name) | Self::Argument(name) => formatter.write_str(name),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands.
    pub place: Place,
    /// The dotted key; empty when the fault is not about one key.
    pub key: String,
    /// The value as given; `None` when there is none, or when it must not be shown.
    pub value: Option<String>,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl Fault {
    /// A file that cannot be read at all.
    #[must_use]
    pub fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let place = Place::File(path.display().to_string());
        Self { place, key: String::new(), value: None, message: format!("cannot be read: {error}") }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.place)?;
        match (self.key.as_str(), &self.value) {
            ("", _) => {}
            (key, Some(value)) => write!(formatter, "{key} = {value}: ")?,
            (key, None) => write!(formatter, "{key}: ")?,
        }
        formatter.write_str(&self.message)
    }
}

/// All faults of a configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFaults(Vec<Fault>);

impl ConfigFaults {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        Self(faults)
    }

    /// The faults, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }
}

/// One fault a line.
impl fmt::Display for ConfigFaults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigFaults {}
