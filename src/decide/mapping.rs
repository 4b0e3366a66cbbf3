//! From the canonical status to the app's own: its status and its inbox.
//!
//! In order: the app's explicit map; a status of the same name; the app's declared synonyms; the usual word of the
//! trade; the usual word of the area; else the record keeps its status and the answer says `unmapped`. Where the app
//! lists the statuses that a record may have, nothing outside that list is ever answered.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::DataError;
use super::matter::AppProfile;
use super::taxonomy::{Status, Taxonomy};
use crate::contract::answer::Mapped;

/// The usual words of trades and areas, from `mapping.toml`.
#[derive(Debug)]
pub(super) struct Mapping {
    file: MappingFile,
}

impl Mapping {
    pub(super) fn read(file: &str, taxonomy: &Taxonomy) -> Result<Self, DataError> {
        let file: MappingFile =
            toml::from_str(file).map_err(|error| DataError::File("mapping".to_owned(), Box::new(error)))?;
        for name in file.industry.values().flat_map(BTreeMap::keys) {
            taxonomy.id(name)?;
        }
        Ok(Self { file })
    }

    /// The decision in the app's words.
    pub(super) fn map(&self, status: &Status, approval_required: bool, app: &AppProfile) -> Mapped {
        let (mapped, matched_by) = self.status(status, app);
        Mapped {
            app_name: app.name.clone(),
            current_status: app.context.current_status.clone(),
            status: mapped,
            inbox: self.inbox(status, approval_required, &app.context.inboxes),
            matched_by: matched_by.to_owned(),
        }
    }

    fn status(&self, status: &Status, app: &AppProfile) -> (Option<String>, &'static str) {
        let context = &app.context;
        let allowed = |name: &str| allowed(name, &context.allowed_statuses);
        if let Some(name) = context.status_map.get(&status.name).and_then(|name| allowed(name)) {
            return (Some(name), "statusMap");
        }
        if let Some(name) = by_name(&status.name, &context.allowed_statuses) {
            return (Some(name), "name");
        }
        if let Some(name) = by_synonym(&status.name, app).and_then(|name| allowed(&name)) {
            return (Some(name), "synonym");
        }
        if let Some(name) = self.by_industry(&status.name, app) {
            return (Some(name), "industry");
        }
        // Without a list of the app's statuses, the word of an area would be an invention.
        let usual = self.file.area.get(&status.area).into_iter().flatten();
        let listed = !context.allowed_statuses.is_empty();
        if let Some(name) = usual.filter(|_| listed).find_map(|name| allowed(name)) {
            return (Some(name), "area");
        }
        (None, "unmapped")
    }

    fn by_industry(&self, status: &str, app: &AppProfile) -> Option<String> {
        let named = normalised(app.context.industry.as_deref()?);
        let industry = self.file.industry_names.get(&named).unwrap_or(&named);
        let usual = self.file.industry.get(industry)?.get(status)?;
        usual.iter().find_map(|name| allowed(name, &app.context.allowed_statuses))
    }

    fn inbox(&self, status: &Status, approval_required: bool, inboxes: &[String]) -> Option<String> {
        let wanted = |key: &str| {
            let words = self.file.inbox.get(key).into_iter().flatten();
            words.into_iter().find_map(|word| inboxes.iter().find(|inbox| has_word(inbox, word))).cloned()
        };
        if status.area == "abuse"
            && let Some(inbox) = wanted("abuse")
        {
            return Some(inbox);
        }
        if approval_required && let Some(inbox) = wanted("approval") {
            return Some(inbox);
        }
        wanted(&status.area)
    }
}

/// `name` as the app spells it, if the app allows it.
fn allowed(name: &str, statuses: &[String]) -> Option<String> {
    if statuses.is_empty() {
        return Some(name.to_owned());
    }
    let wanted = normalised(name);
    statuses.iter().find(|status| normalised(status) == wanted).cloned()
}

/// A status of the app that is the canonical name or its telling words.
fn by_name(canonical: &str, statuses: &[String]) -> Option<String> {
    let whole = normalised(canonical);
    let telling = telling_words(&whole);
    let equal = |wanted: &str| statuses.iter().find(|status| normalised(status) == wanted).cloned();
    equal(&whole).or_else(|| {
        statuses.iter().find(|status| !telling.is_empty() && telling_words(&normalised(status)) == telling).cloned()
    })
}

fn by_synonym(canonical: &str, app: &AppProfile) -> Option<String> {
    let wanted = normalised(canonical);
    let telling = telling_words(&wanted);
    app.synonyms.iter().find_map(|(word, status)| {
        // Apps declare them either way round: their word for ours, or ours for theirs.
        if normalised(status) == wanted {
            return Some(word.clone());
        }
        let word = normalised(word);
        (word == wanted || word == telling).then(|| status.clone())
    })
}

fn has_word(inbox: &str, word: &str) -> bool {
    let inbox = normalised(inbox);
    inbox.split(' ').any(|part| part == word) || (word.contains(' ') && inbox.contains(word))
}

/// Lower case words with one space between them.
fn normalised(name: &str) -> String {
    let lower: String =
        name.chars().flat_map(char::to_lowercase).map(|c| if c.is_alphanumeric() { c } else { ' ' }).collect();
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The name without the words that only say that something happened.
fn telling_words(name: &str) -> String {
    name.split(' ').filter(|word| !EVENT_WORDS.contains(word)).collect::<Vec<_>>().join(" ")
}

const EVENT_WORDS: [&str; 10] =
    ["requested", "request", "received", "asked", "reported", "provided", "placed", "raised", "suspected", "needs"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MappingFile {
    /// Other names of a trade to its table.
    industry_names: BTreeMap<String, String>,
    /// Trade to canonical status to the usual words, best first.
    industry: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// Area to the usual words, best first.
    area: BTreeMap<String, Vec<String>>,
    /// Area, `approval` or `abuse` to words of an inbox's name, best first.
    inbox: BTreeMap<String, Vec<String>>,
}

#[cfg(test)]
mod tests;
