//! Reads checked values out of the layers; a fault is noted, and the default stands in, so that reading goes on.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault::{Fault, Place};
use super::layers::{Layers, Value};
use super::secret::Secret;
use super::units::{DURATION_FORM, SIZE_FORM, parse_duration, parse_size};

/// Reads one section after the other.
#[derive(Debug)]
pub struct Reader<'a> {
    layers: &'a Layers,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a Layers, faults: &'a mut Vec<Fault>) -> Self {
        Self { layers, faults }
    }

    /// Notes that what `key` is set to is wrong together with something else.
    pub(super) fn fault(&mut self, key: &str, message: &str) {
        let (place, value) = match self.layers.entry(key) {
            Some(entry) => {
                (entry.place.clone(), (!entry.is_hidden() && !entry.has_password()).then(|| entry.value.to_string()))
            }
            None => (Place::Default, None),
        };
        self.faults.push(Fault { place, key: key.to_owned(), value, message: message.to_owned() });
    }

    /// Whether `key` holds a text that is not empty.
    pub(super) fn is_set(&self, key: &str) -> bool {
        self.text(key).is_some()
    }

    /// Whether nothing was found wrong with `key` so far.
    pub(super) fn has_no_fault(&self, key: &str) -> bool {
        !self.faults.iter().any(|fault| fault.key == key)
    }

    /// A value that is written as a text.
    pub(super) fn parse<T>(&mut self, key: &str, allowed: &str, parse: impl Fn(&str) -> Option<T>) -> T {
        self.read(key, allowed, |value| match value {
            Value::Text(text) => parse(text),
            _ => None,
        })
    }

    /// A list of texts, each read by `parse`.
    pub(super) fn list<T>(&mut self, key: &str, allowed: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let bad: Vec<String> = match self.layers.entry(key).map(|entry| &entry.value) {
            Some(Value::List(items)) => items.iter().filter(|item| parse(item).is_none()).cloned().collect(),
            _ => Vec::new(),
        };
        for item in &bad {
            self.fault(key, &format!("{item:?} is not {allowed}"));
        }
        match self.layers.entry(key).map(|entry| &entry.value) {
            Some(Value::List(items)) => items.iter().filter_map(|item| parse(item)).collect(),
            _ => Vec::new(),
        }
    }

    /// A list of addresses to listen on.
    pub(super) fn addresses(&mut self, key: &str) -> Vec<SocketAddr> {
        self.list(key, "ADDRESS:PORT, such as 0.0.0.0:25 or [::]:25", |text| text.parse().ok())
    }

    /// A whole number within `range`.
    pub(super) fn number(&mut self, key: &str, range: RangeInclusive<i64>) -> i64 {
        let allowed = format!("a number from {} to {}", range.start(), range.end());
        self.read(key, &allowed, |value| match value {
            Value::Number(number) => range.contains(number).then_some(*number),
            _ => None,
        })
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, key: &str) -> bool {
        self.read(key, "true or false", |value| match value {
            Value::Flag(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A count within `range`.
    pub(super) fn count(&mut self, key: &str, range: RangeInclusive<u32>) -> u32 {
        let range = i64::from(*range.start())..=i64::from(*range.end());
        u32::try_from(self.number(key, range)).unwrap_or(u32::MAX)
    }

    /// A size in octets within `range`.
    pub(super) fn size(&mut self, key: &str, range: RangeInclusive<u64>) -> u64 {
        let allowed = format!("{SIZE_FORM}, from {} to {}", shown_size(*range.start()), shown_size(*range.end()));
        self.parse(key, &allowed, |text| parse_size(text).filter(|size| range.contains(size)))
    }

    /// A duration within `range`, which is in milliseconds.
    pub(super) fn duration(&mut self, key: &str, range: RangeInclusive<u64>) -> Duration {
        let allowed =
            format!("{DURATION_FORM}, from {} to {}", shown_duration(*range.start()), shown_duration(*range.end()));
        let (least, most) = (Duration::from_millis(*range.start()), Duration::from_millis(*range.end()));
        self.parse(key, &allowed, |text| parse_duration(text).filter(|time| (least..=most).contains(time)))
    }

    /// Where a file will be made; `None` when the key is empty.
    pub(super) fn optional_path(&mut self, key: &str) -> Option<PathBuf> {
        let path = self.parse(key, "a path, or empty", |text| Some(PathBuf::from(text)));
        (!path.as_os_str().is_empty()).then_some(path)
    }

    /// A file that must exist; `None` when the key is empty.
    pub(super) fn optional_file(&mut self, key: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.text(key)?);
        if let Some(why) = why_no_file(&path) {
            self.fault(key, &why);
        }
        Some(path)
    }

    /// Files that must exist.
    pub(super) fn files(&mut self, key: &str) -> Vec<PathBuf> {
        let paths = self.list(key, "the path of a file", super::sections::path);
        for path in &paths {
            if let Some(why) = why_no_file(path) {
                self.fault(key, &format!("{} {why}", path.display()));
            }
        }
        paths
    }

    /// A secret of at least `least` octets, from the environment (`key`) or from a file of its own (`file_key`).
    pub(super) fn secret(&mut self, key: &str, file_key: &str, least: usize) -> Option<Secret> {
        let given = self.text(key);
        let (from, text) = match (given, self.text(file_key)) {
            (None, None) => return None,
            (Some(_), Some(_)) => {
                self.fault(file_key, &format!("{key} is set too: one of both"));
                return None;
            }
            (Some(text), None) => (key, text),
            (None, Some(path)) => (file_key, self.secret_file(file_key, &path)?),
        };
        if text.len() < least {
            self.fault(from, &format!("the secret must have at least {least} characters"));
        }
        Some(Secret::new(text))
    }

    fn secret_file(&mut self, key: &str, path: &str) -> Option<String> {
        let read = || -> std::io::Result<(u32, String)> {
            let mode = std::fs::metadata(path)?.permissions().mode();
            Ok((mode, std::fs::read_to_string(path)?))
        };
        match read() {
            Ok((mode, _)) if mode & 0o007 != 0 => {
                self.fault(key, "every user of this machine can read or write it: chmod 600");
                None
            }
            Ok((_, text)) => Some(text.trim_end().to_owned()),
            Err(error) => {
                self.fault(key, &format!("cannot be read: {error}"));
                None
            }
        }
    }

    fn text(&self, key: &str) -> Option<String> {
        match self.layers.entry(key).map(|entry| &entry.value) {
            Some(Value::Text(text)) if !text.is_empty() => Some(text.clone()),
            _ => None,
        }
    }

    fn read<T>(&mut self, key: &str, allowed: &str, read: impl Fn(&Value) -> Option<T>) -> T {
        let entry = self.layers.entry(key);
        if let Some(value) = entry.and_then(|entry| read(&entry.value)) {
            return value;
        }
        self.fault(key, &format!("must be {allowed}"));
        #[expect(clippy::expect_used, reason = "the compiled-in defaults are checked by a unit test")]
        entry.and_then(|entry| read(&entry.default)).expect("config/connex.toml has this key, with a sound value")
    }
}

fn why_no_file(path: &Path) -> Option<String> {
    match std::fs::File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => None,
        Ok(_) => Some("is not a file".to_owned()),
        Err(error) => Some(format!("cannot be opened: {error}")),
    }
}

fn shown_size(size: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| size >= *unit && size.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", size / unit),
        None => size.to_string(),
    }
}

fn shown_duration(millis: u64) -> String {
    let units = [(3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    match units.iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}
