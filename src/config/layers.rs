//! Layers of values, each with the place that it came from, and the reader that turns them into checked data.
//!
//! The compiled-in defaults say which keys exist and what kind of value each takes. A value of the wrong kind, an
//! unknown key or a value that does not parse is a fault, and the default stands in for it, so that checking goes on
//! and every fault is found in one run.

use std::collections::BTreeSet;
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Fault, Place};

/// Keys that hold secrets: never in a file or on the command line, never shown.
pub const SECRETS: &[&str] =
    &["keys.instance_secret", "milter.route", "providers.mailgun_signing_keys", "sign_in.providers"];

/// A value as it stands in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text; sizes and durations are texts too.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// A list of texts.
    List(Vec<String>),
}

/// As TOML writes it.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(formatter, "{}", toml::Value::from(text.as_str())),
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Flag(flag) => write!(formatter, "{flag}"),
            Self::List(items) => {
                let items: Vec<String> =
                    items.iter().map(|item| toml::Value::from(item.as_str()).to_string()).collect();
                write!(formatter, "[{}]", items.join(", "))
            }
        }
    }
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text in quotes",
            Self::Number(_) => "a whole number",
            Self::Flag(_) => "true or false",
            Self::List(_) => "a list of texts",
        }
    }

    /// The value as the JSON of `check-config --json`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Number(number) => (*number).into(),
            Self::Flag(flag) => (*flag).into(),
            Self::List(items) => items.clone().into(),
        }
    }
}

/// One key with its present value.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Dotted: `smtp.limits.recipients`.
    pub key: String,
    /// What it is set to.
    pub value: Value,
    /// Which layer set it.
    pub place: Place,
    /// What it is when no layer sets it.
    pub default: Value,
}

impl Entry {
    /// Whether the value is a secret that must not be shown.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        let may_be_secret = SECRETS.contains(&self.key.as_str()) || self.key == "database.url" && self.has_password();
        may_be_secret && self.value != self.default
    }

    /// Whether the value is a URL that may hold a password.
    pub(super) fn has_password(&self) -> bool {
        matches!(&self.value, Value::Text(text) if text.contains("://") && text.contains('@'))
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_hidden() {
            write!(formatter, "{} = (hidden) # {}", self.key, self.place)
        } else {
            write!(formatter, "{} = {} # {}", self.key, self.value, self.place)
        }
    }
}

/// Every key that exists, in the order of `config/connex.toml`, with the value of the highest layer that sets it.
#[derive(Debug, Clone)]
pub struct Layers {
    entries: Vec<Entry>,
}

impl Layers {
    /// The compiled-in layer alone.
    #[must_use]
    pub fn defaults() -> Self {
        let (table, _errors) = DeTable::parse_recoverable(super::DEFAULTS);
        let mut entries = Vec::new();
        collect("", table.get_ref(), &mut entries);
        entries.sort_by_key(|(start, _)| *start);
        Self { entries: entries.into_iter().map(|(_, entry)| entry).collect() }
    }

    /// All keys, in the order of `config/connex.toml`.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// The entry of a dotted key.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    pub(super) fn lay_text(&mut self, name: &str, text: &str, faults: &mut Vec<Fault>) {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut file = File { name, text, broken: BTreeSet::new() };
        for error in &errors {
            let line = file.line(error.span().map_or(0, |span| span.start));
            file.broken.insert(line);
            let place = Place::Line { file: name.to_owned(), line };
            faults.push(Fault { place, key: String::new(), value: None, message: error.message().to_owned() });
        }
        self.lay_table(&file, "", table.get_ref(), faults);
    }

    fn lay_table(&mut self, file: &File<'_>, prefix: &str, table: &DeTable<'_>, faults: &mut Vec<Fault>) {
        let mut rows: Vec<_> = table.iter().collect();
        rows.sort_by_key(|(key, _)| key.span().start);
        for (name, value) in rows {
            let key = join(prefix, name.get_ref());
            // What stands on a line that is no TOML was guessed by the parser: one fault for it is enough.
            let line = file.line(name.span().start);
            if file.broken.contains(&line) {
                continue;
            }
            let place = Place::Line { file: file.name.to_owned(), line };
            match value.get_ref() {
                DeValue::Table(inner) if self.is_section(&key) => self.lay_table(file, &key, inner, faults),
                given => {
                    if let Err(fault) = self.lay(&key, place, file.source(value), |kind| convert(given, kind)) {
                        faults.push(fault);
                    }
                }
            }
        }
    }

    pub(super) fn lay_environment(&mut self, env: impl Iterator<Item = (String, String)>, faults: &mut Vec<Fault>) {
        let mut variables: Vec<_> =
            env.filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?.to_owned(), name, value))).collect();
        variables.sort();
        for (rest, name, text) in variables {
            let key = rest.to_ascii_lowercase().replace("__", ".");
            let result = self.lay(&key, Place::Variable(name), format!("{text:?}"), |kind| from_text(&text, kind));
            if let Err(mut fault) = result {
                // An unknown variable is named as it stands, not as the key that it might have meant.
                if self.entry(&key).is_none() {
                    fault.key = String::new();
                }
                faults.push(fault);
            }
        }
    }

    pub(super) fn lay_argument(&mut self, argument: &str, key: &str, text: &str, faults: &mut Vec<Fault>) {
        let place = Place::Argument(argument.to_owned());
        if let Err(fault) = self.lay(key, place, format!("{text:?}"), |kind| from_text(text, kind)) {
            faults.push(fault);
        }
    }

    /// Sets `key`; `read` turns what was given into a value of the default's kind.
    fn lay(
        &mut self,
        key: &str,
        place: Place,
        shown: String,
        read: impl FnOnce(&Value) -> Option<Value>,
    ) -> Result<(), Fault> {
        let found = self.entries.iter().position(|entry| entry.key == key);
        let Some(entry) = found.and_then(|place| self.entries.get_mut(place)) else {
            let message =
                if self.is_section(key) { format!("is a section: write [{key}]") } else { self.unknown(key, &place) };
            return Err(Fault { place, key: key.to_owned(), value: None, message });
        };
        let value = read(&entry.default);
        let may_stand =
            !SECRETS.contains(&key) || matches!(place, Place::Variable(_)) || value == Some(entry.default.clone());
        if !may_stand {
            let message = format!("a secret must not stand here: use {} or {key}_file", variable(key));
            return Err(Fault { place, key: key.to_owned(), value: None, message });
        }
        let Some(value) = value else {
            let message = format!("must be {}", entry.default.kind());
            return Err(Fault { place, key: key.to_owned(), value: Some(shown), message });
        };
        entry.value = value;
        entry.place = place;
        Ok(())
    }

    fn is_section(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
    }

    fn unknown(&self, key: &str, place: &Place) -> String {
        let mut names: Vec<&str> = self.entries.iter().map(|entry| entry.key.as_str()).collect();
        let sections: BTreeSet<&str> =
            names.iter().filter_map(|name| name.rsplit_once('.').map(|(head, _)| head)).collect();
        names.extend(sections);
        let nearest = names.into_iter().map(|name| (distance(key, name), name)).min();
        let spell = |name: &str| match place {
            Place::Variable(_) => variable(name),
            _ => name.to_owned(),
        };
        match nearest {
            // A third of the letters wrong is a typing mistake; more is another word.
            Some((distance, name)) if distance <= 1 + key.len() / 3 => {
                format!("there is no such key; did you mean {}?", spell(name))
            }
            _ => "there is no such key; docs/configuration.md lists all".to_owned(),
        }
    }
}

/// The environment variable of a dotted key.
#[must_use]
pub fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

const PREFIX: &str = "CONNEX__";

struct File<'a> {
    name: &'a str,
    text: &'a str,
    broken: BTreeSet<usize>,
}

impl File<'_> {
    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    fn source(&self, value: &Spanned<DeValue<'_>>) -> String {
        let source = self.text.get(value.span()).unwrap_or_default();
        match source.char_indices().nth(LONGEST_SHOWN) {
            Some((end, _)) => format!("{}…", source.get(..end).unwrap_or_default()),
            None => source.to_owned(),
        }
    }
}

/// A fault is a line, also when the value is a page.
const LONGEST_SHOWN: usize = 120;

fn collect(prefix: &str, table: &DeTable<'_>, entries: &mut Vec<(usize, Entry)>) {
    for (name, value) in table {
        let key = join(prefix, name.get_ref());
        if let DeValue::Table(inner) = value.get_ref() {
            collect(&key, inner, entries);
        } else if let Some(default) = any_kind(value.get_ref()) {
            let entry = Entry { key, value: default.clone(), place: Place::Default, default };
            entries.push((name.span().start, entry));
        }
    }
}

fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") }
}

fn any_kind(given: &DeValue<'_>) -> Option<Value> {
    let kinds = [Value::Number(0), Value::Flag(false), Value::List(Vec::new()), Value::Text(String::new())];
    kinds.iter().find_map(|kind| convert(given, kind))
}

fn convert(given: &DeValue<'_>, kind: &Value) -> Option<Value> {
    match (kind, given) {
        (Value::Text(_), DeValue::String(text)) => Some(Value::Text(text.to_string())),
        // A size without a unit may stand without quotes.
        (Value::Text(_), DeValue::Integer(number)) => Some(Value::Text(number.to_string())),
        (Value::Number(_), DeValue::Integer(number)) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::Number)
        }
        (Value::Flag(_), DeValue::Boolean(flag)) => Some(Value::Flag(*flag)),
        (Value::List(_), DeValue::Array(items)) => {
            let text = |item: &Spanned<DeValue<'_>>| item.get_ref().as_str().map(str::to_owned);
            items.iter().map(text).collect::<Option<_>>().map(Value::List)
        }
        _ => None,
    }
}

fn from_text(text: &str, kind: &Value) -> Option<Value> {
    match kind {
        Value::Text(_) => Some(Value::Text(text.to_owned())),
        Value::Number(_) => text.trim().parse().ok().map(Value::Number),
        Value::Flag(_) => text.trim().parse().ok().map(Value::Flag),
        Value::List(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(Value::List(items.map(str::to_owned).collect()))
        }
    }
}

/// Letters to insert, remove or replace until `one` is `other` (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().take(LONGEST_SHOWN).enumerate() {
        let mut next = vec![index + 1];
        for ((wanted, above_left), above) in other.iter().zip(&row).zip(row.iter().skip(1)) {
            let left = next.last().copied().unwrap_or_default();
            let replaced = above_left + usize::from(*wanted != letter);
            next.push(replaced.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
