//! Words of proposed answers: plain text with places for a few facts, and the words that are there from the start.
//!
//! A place is `{{name}}`, or `{{name|words}}` with the words that stand there where the fact is not known; there are no
//! others than [`PLACES`]. What comes from outside goes in as one line of few kinds of letters, so that nobody puts words or
//! links of their own into an answer.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// What can stand in a text.
pub const PLACES: [&str; 4] = ["contact_name", "record_id", "document", "link"];
/// Characters of a text.
const BODY: usize = 10_000;
/// Characters of a subject.
const SUBJECT: usize = 200;
/// Characters of what is filled in, and of what stands there instead.
const FILLED: usize = 200;
/// The status of words for any status.
pub const ANY: &str = "any";

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    /// Nothing is written.
    #[error("is empty")]
    Empty,
    /// More than that.
    #[error("has over {0} characters")]
    TooLong(usize),
    /// A control character other than the end of a line.
    #[error("has a control character")]
    Control,
    /// `{{` without `}}` on the same line.
    #[error("has a place that does not end: `{{{{` needs its `}}}}` on the same line")]
    Unended,
    /// No place of this name.
    #[error("has the place `{0}`, and there are only {places}", places = PLACES.join(", "))]
    UnknownPlace(String),
}

/// Words of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    subject: Option<Vec<Piece>>,
    body: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Words(String),
    Place { name: &'static str, instead: String },
}

/// What is known of whom and what is answered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// The name of whoever wrote.
    pub contact_name: Option<&'a str>,
    /// The app's record.
    pub record_id: Option<&'a str>,
    /// The document that is asked for.
    pub document: Option<&'a str>,
    /// Where the app's own page is.
    pub link: Option<&'a str>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with its subject or text.
    pub fn read(subject: Option<&str>, body: &str) -> Result<Self, TemplateFault> {
        if body.trim().is_empty() || subject.is_some_and(|subject| subject.trim().is_empty()) {
            return Err(TemplateFault::Empty);
        }
        let subject = subject.map(|subject| pieces(subject, SUBJECT)).transpose()?;
        let has_line = |piece: &Piece| matches!(piece, Piece::Words(words) if words.contains('\n'));
        if subject.iter().flatten().any(has_line) {
            return Err(TemplateFault::Control);
        }
        Ok(Self { subject, body: pieces(&body.replace("\r\n", "\n"), BODY)? })
    }

    /// The subject, where it has one of its own, and the text.
    #[must_use]
    pub fn fill(&self, known: &Known<'_>) -> (Option<String>, String) {
        let subject = self.subject.as_deref().map(|pieces| filled(pieces, known));
        (subject, filled(&self.body, known))
    }
}

fn pieces(text: &str, limit: usize) -> Result<Vec<Piece>, TemplateFault> {
    if text.chars().count() > limit {
        return Err(TemplateFault::TooLong(limit));
    }
    if text.chars().any(|letter| letter.is_control() && letter != '\n') {
        return Err(TemplateFault::Control);
    }
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some((before, behind)) = rest.split_once("{{") {
        let (place, after) = behind.split_once("}}").ok_or(TemplateFault::Unended)?;
        if place.contains('\n') || place.contains('{') {
            return Err(TemplateFault::Unended);
        }
        let (name, instead) = place.split_once('|').unwrap_or((place, ""));
        let known = PLACES.into_iter().find(|known| *known == name.trim());
        let name = known.ok_or_else(|| TemplateFault::UnknownPlace(name.chars().take(40).collect()))?;
        pieces.push(Piece::Words(before.to_owned()));
        pieces.push(Piece::Place { name, instead: instead.chars().take(FILLED).collect() });
        rest = after;
    }
    pieces.push(Piece::Words(rest.to_owned()));
    Ok(pieces)
}

fn filled(pieces: &[Piece], known: &Known<'_>) -> String {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            // Nothing stands in a place of which nothing is known: neither does the blank before it.
            Piece::Words(words) if text.ends_with(' ') && words.starts_with([',', ':', '.', '!']) => {
                text.truncate(text.trim_end().len());
                text.push_str(words);
            }
            Piece::Words(words) => text.push_str(words),
            Piece::Place { name, instead } => text.push_str(&fact(name, known).unwrap_or_else(|| instead.clone())),
        }
    }
    text
}

/// A fact as it may stand in an answer; `None` where it is not known, or is anything but what it should be.
fn fact(name: &str, known: &Known<'_>) -> Option<String> {
    let fits = |text: &str, allowed: fn(char) -> bool| {
        let text = text.trim();
        let is_good = !text.is_empty() && text.chars().count() <= FILLED && text.chars().all(allowed);
        is_good.then(|| text.to_owned())
    };
    match name {
        "contact_name" => {
            let name = fits(known.contact_name?, |letter| letter.is_alphabetic() || " .'’-".contains(letter))?;
            // A dot between letters makes an address of a name.
            let is_domain = name.split(' ').any(|word| word.trim_end_matches('.').contains('.'));
            (name.chars().count() <= 60 && !is_domain).then_some(name)
        }
        "record_id" => fits(known.record_id?, |letter| letter.is_ascii_alphanumeric() || "-_#".contains(letter)),
        "document" => fits(known.document?, |letter| !letter.is_control()),
        "link" => {
            let link = fits(known.link?, |letter| letter.is_ascii_graphic() && !"<>\"".contains(letter))?;
            link.starts_with("https://").then_some(link)
        }
        _ => None,
    }
}

/// Words that are there from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltIn {
    /// `builtin/en/question_asked`.
    pub id: String,
    /// The version of all of them.
    pub version: u32,
    /// The words.
    pub template: Template,
}

#[derive(Deserialize)]
struct File {
    version: u32,
    #[serde(flatten)]
    languages: BTreeMap<String, Language>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Language {
    greeting: String,
    closing: String,
    any: String,
    statuses: BTreeMap<String, String>,
}

static FILE: LazyLock<Option<File>> = LazyLock::new(|| toml::from_str(include_str!("data/templates.toml")).ok());

/// The words that are there from the start, for a status in a language; those for any status where it has none of its own.
#[must_use]
pub fn built_in(language: &str, status: &str) -> Option<BuiltIn> {
    let file = FILE.as_ref()?;
    let words = file.languages.get(language)?;
    let (status, middle) = match words.statuses.get_key_value(status) {
        Some((status, middle)) => (status.as_str(), middle),
        None => (ANY, &words.any),
    };
    let body = format!("{}\n\n{middle}\n\n{}\n", words.greeting, words.closing);
    let template = Template::read(None, &body).ok()?;
    Some(BuiltIn { id: format!("builtin/{language}/{status}"), version: file.version, template })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_built_in_text_can_be_read_and_is_for_a_status_that_there_is() {
        let engine = crate::decide::Engine::new().unwrap();
        let file: File = toml::from_str(include_str!("data/templates.toml")).unwrap();
        assert_eq!(file.languages.keys().collect::<Vec<_>>(), ["de", "en", "es", "fr"]);
        for (language, words) in &file.languages {
            for status in words.statuses.keys() {
                assert!(engine.taxonomy().iter().any(|known| known.name == *status), "{language} {status}");
                assert_eq!(built_in(language, status).unwrap().id, format!("builtin/{language}/{status}"));
            }
            let (_, any) = built_in(language, "legal_notice").unwrap().template.fill(&Known::default());
            assert!(!any.contains("{{") && !any.contains(" ,") && !any.contains(" :"), "{any}");
        }
        assert_eq!(built_in("xx", "question_asked"), None);
    }

    #[test]
    fn known_facts_are_filled_in_and_others_give_way_to_the_words_beside_them() {
        let body = "Hello {{contact_name|there}},\n{{record_id}} {{document|the paper}}: {{ link }}";
        let template = Template::read(Some("About {{record_id|it}}"), body).unwrap();
        let known = Known {
            contact_name: Some("Ann O'Lee-Smith"),
            record_id: Some("D-17"),
            document: Some("the lease"),
            link: Some("https://app.example/t/1"),
        };
        let (subject, text) = template.fill(&known);
        assert_eq!(subject.as_deref(), Some("About D-17"));
        assert_eq!(text, "Hello Ann O'Lee-Smith,\nD-17 the lease: https://app.example/t/1");
        assert_eq!(template.fill(&Known::default()).0.as_deref(), Some("About it"));
        let german = Template::read(None, "Guten Tag {{contact_name}},").unwrap();
        assert_eq!(german.fill(&Known::default()).1, "Guten Tag,");
    }

    #[test]
    fn nobody_puts_words_or_links_of_their_own_into_an_answer() {
        let template = Template::read(None, "[{{contact_name}}|{{record_id}}|{{link}}]").unwrap();
        for name in
            ["Win 1000 now", "evil.example", "a@b.example", "Ann\nBcc: x", "https://x", "{{link}}", &"a".repeat(61)]
        {
            let known = Known {
                contact_name: Some(name),
                record_id: Some("1 <b>"),
                document: None,
                link: Some("javascript:alert(1)"),
            };
            assert_eq!(template.fill(&known).1, "[||]", "{name}");
        }
    }

    #[test]
    fn a_place_that_there_is_not_is_refused_and_so_is_what_is_no_text() {
        assert_eq!(Template::read(None, "{{secret}}"), Err(TemplateFault::UnknownPlace("secret".into())));
        assert_eq!(Template::read(None, "{{link"), Err(TemplateFault::Unended));
        assert_eq!(Template::read(None, "{{link\n}}"), Err(TemplateFault::Unended));
        assert_eq!(Template::read(None, " \n"), Err(TemplateFault::Empty));
        assert_eq!(Template::read(None, "a\u{7}"), Err(TemplateFault::Control));
        assert_eq!(Template::read(Some("a\nb"), "x"), Err(TemplateFault::Control));
        assert_eq!(Template::read(None, &"x".repeat(10_001)), Err(TemplateFault::TooLong(10_000)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_filled_has_no_place_left(body in ".{0,60}", name in ".{0,30}") {
            if let Ok(template) = Template::read(None, &body) {
                let known = Known { contact_name: Some(&name), ..Known::default() };
                let (_, text) = template.fill(&known);
                prop_assert!(!text.chars().any(|letter| letter.is_control() && letter != '\n'));
            }
        }
    }
}
