//! From a message to a decision: canonical status, priority, approval, the app's own words and operations.
//!
//! Pure and deterministic: the same bytes give the same answer on every run and machine. No clock, no randomness, no
//! model call. It never sends or stores anything, never puts a weight or threshold into an answer, and where the text
//! supports no status it says so ([`Decision::reasoning`]`.abstained`) and asks a person. Approval is policy, not a
//! prediction: every rule can add one, none can take one away.
//!
//! The rules are data: concepts per language (`data/lexicon/*.toml`), signals built from them (`data/signals.toml`),
//! which status yields to which (`data/precedence.toml`), what to do per status (`data/playbook.toml`) and the words of
//! trades (`data/mapping.toml`).
//!
//! # Security
//! All text is hostile. It is cut to a bound before it is read, work is linear in its length, and what a message says
//! can never make an operation of abuse mail apply itself.

mod dates;
mod explain;
mod fold;
mod language;
mod lexicon;
mod mapping;
mod matter;
mod operations;
mod policy;
mod signals;
mod taxonomy;
pub mod template;
mod verdict;

use std::collections::BTreeMap;
use std::fmt::Write as _;

pub use matter::{AppProfile, Automated, Decision, Direction, Matter, ProposedOperation, ReplyOwner};
pub use taxonomy::{Status, Taxonomy, ThreadState};

use crate::clock::Timestamp;
use crate::contract::answer::{AbuseSignal, Canonical, GraphHint, ReasonSignal, Reasoning};
use dates::Dates;
use explain::{Texts, evidence};
use fold::{Folded, cut};
use lexicon::{Hit, Lexicon, LexiconBuilder};
use mapping::Mapping;
use operations::{Play, Playbook, Situation};
use signals::{FACTS, Facts, Fired, Place, Scanned, Signals};
use verdict::{Precedence, Verdict};

/// Of subject and new text, this much is read.
const VISIBLE_LIMIT: usize = 64 * 1024;
/// Of the whole text, this much is read for abuse.
const FULL_LIMIT: usize = 256 * 1024;
/// Of a subject, this much is read.
const SUBJECT_LIMIT: usize = 2 * 1024;
/// Signals named in an answer.
const MAX_REASONS: usize = 5;
/// A deadline nearer than this raises the priority.
const SOON: std::time::Duration = std::time::Duration::from_secs(48 * 3600);

/// What is wrong with the compiled-in data files; shown at start, never caused by mail.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The taxonomy is not readable.
    #[error("taxonomy: {0}")]
    Taxonomy(#[source] serde_json::Error),
    /// A data file is not readable.
    #[error("{0}: {1}")]
    File(String, #[source] Box<toml::de::Error>),
    /// A pattern does not compile.
    #[error("pattern `{0}`: {1}")]
    Pattern(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// A rule names what does not exist, or nothing that it could be found by.
    #[error("signal `{0}`: rule `{1}`")]
    Rule(String, String),
    /// A phrase without words, or a signal without phrases and rules.
    #[error("`{0}` has nothing to find")]
    EmptyPhrase(String),
    /// A status is named that the taxonomy does not have, or one has no entry.
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
    lexicon: Lexicon,
    signals: Signals,
    precedence: Precedence,
    playbook: Playbook,
    mapping: Mapping,
    dates: Dates,
    version: String,
}

impl Engine {
    /// Compiles the engine from the data files in the binary.
    ///
    /// # Errors
    /// When a data file contradicts itself, which a test of this module rules out for released files.
    pub fn new() -> Result<Self, DataError> {
        let taxonomy = Taxonomy::read(TAXONOMY)?;
        let mut builder = LexiconBuilder::default();
        for (code, file) in LEXICONS {
            builder.add_language(code, file)?;
        }
        builder.add_recognised(RECOGNISED)?;
        let signals = Signals::read(SIGNALS, &taxonomy, &mut builder)?;
        let precedence = Precedence::read(PRECEDENCE, &taxonomy)?;
        let playbook = Playbook::read(PLAYBOOK, &taxonomy)?;
        let mapping = Mapping::read(MAPPING, &taxonomy)?;
        let version = format!("{}-{}", signals.version, digest());
        let lexicon = builder.build()?;
        Ok(Self { taxonomy, lexicon, signals, precedence, playbook, mapping, dates: Dates::new()?, version })
    }

    /// Version of signals and taxonomy: data version and a prefix of their digest.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The status that a signal speaks for, by its public code; `None` for one that speaks for none, or is not known (any more).
    #[must_use]
    pub fn status_of_signal(&self, code: &str) -> Option<&str> {
        let status = self.signals.of_code(code)?.status?;
        self.taxonomy.status(status).map(|status| status.name.as_str())
    }

    /// The canonical statuses.
    #[must_use]
    pub fn taxonomy(&self) -> &Taxonomy {
        &self.taxonomy
    }

    /// Decides on one message or app event.
    #[must_use]
    pub fn decide(&self, matter: &Matter<'_>, app: &AppProfile) -> Decision {
        let subject_text = cut(matter.subject, SUBJECT_LIMIT);
        let reply_text = cut(matter.visible_text, VISIBLE_LIMIT);
        let same = matter.full_text == matter.visible_text;
        let full_text = cut(if same { "" } else { matter.full_text }, FULL_LIMIT);
        let (subject, reply, full) = (Folded::new(subject_text), Folded::new(reply_text), Folded::new(full_text));
        let texts = Texts { subject: (subject_text, &subject), reply: (reply_text, &reply), full: (full_text, &full) };

        let (language, fired) = self.read(&texts, matter);
        let verdict = self.precedence.weigh(&self.taxonomy, &self.signals, &fired, matter);
        let due = self.dates.due(&reply.text, matter.occurred_at);
        self.answer(&texts, (&verdict, &fired), (language, due), (matter, app))
    }

    /// Finds the language and everything that fires.
    fn read(&self, texts: &Texts<'_>, matter: &Matter<'_>) -> (Option<String>, BTreeMap<usize, Fired>) {
        let mut subject_hits = self.lexicon.scan(texts.subject.1);
        let mut reply_hits = self.lexicon.scan(texts.reply.1);
        let both: Vec<Hit> = subject_hits.iter().chain(&reply_hits).copied().collect();
        let sample = if texts.reply.0.trim().len() < 20 { texts.subject.0 } else { texts.reply.0 };
        let language = language::guess(&self.lexicon, &both, sample);
        subject_hits.retain(|hit| language.reads(hit.language));
        reply_hits.retain(|hit| language.reads(hit.language));

        let facts = self.facts(texts, &[&subject_hits, &reply_hits], matter);
        let mut fired = BTreeMap::new();
        for (place, folded, hits) in
            [(Place::Subject, texts.subject.1, &subject_hits), (Place::Reply, texts.reply.1, &reply_hits)]
        {
            self.signals.fire(Scanned { place, folded, hits }, &facts, &mut fired);
        }
        if !texts.full.0.is_empty() {
            // Quoted and hidden text: in whatever language, and for abuse only.
            let hits = self.lexicon.scan(texts.full.1);
            self.signals.fire(Scanned { place: Place::Full, folded: texts.full.1, hits: &hits }, &facts, &mut fired);
        }
        (language.code, fired)
    }

    fn facts(&self, texts: &Texts<'_>, hits: &[&Vec<Hit>], matter: &Matter<'_>) -> Facts {
        let mut facts = Facts { question: self.lexicon.concept("question"), ..Facts::default() };
        for hit in hits.iter().flat_map(|hits| hits.iter()).filter(|hit| !hit.negated) {
            facts.anywhere.insert(hit.concept);
        }
        let subject = texts.subject.1.text.as_str();
        let begins = |marks: &[&str]| marks.iter().any(|mark| subject.starts_with(mark));
        let is_reply = begins(&["re ", "aw ", "sv ", "antw ", "rif ", "res "]);
        let is_forward = begins(&["fwd ", "fw ", "wg ", "tr ", "i "]);
        facts.old_subject = is_reply || is_forward;
        let truths = [texts.reply.1.sentences.iter().any(|sentence| sentence.question), !matter.attachments.is_empty()];
        for (name, truth) in FACTS.iter().zip(truths) {
            if truth && let Some(concept) = self.lexicon.concept(name) {
                facts.anywhere.insert(concept);
            }
        }
        facts
    }

    fn answer(
        &self,
        texts: &Texts<'_>,
        (verdict, fired): (&Verdict, &BTreeMap<usize, Fired>),
        (language, due): (Option<String>, Option<Timestamp>),
        (matter, app): (&Matter<'_>, &AppProfile),
    ) -> Decision {
        // Every status id comes from this taxonomy and every status has a play: both are checked in `new`.
        let (Some(status), Some(play)) = (
            self.taxonomy.status(verdict.status),
            self.taxonomy.status(verdict.status).and_then(|status| self.playbook.play(&status.name)),
        ) else {
            return self.nothing(app);
        };
        let signals = (&self.signals, fired);
        let abused = !verdict.abuse.is_empty();
        let soon = due.is_some_and(|due| due.since(matter.occurred_at) <= SOON);
        let approval_reasons = policy::approval_reasons(status, play.approval.as_deref(), verdict, signals);
        let canonical = Canonical {
            status: status.name.clone(),
            area: status.area.clone(),
            priority: policy::priority(status, soon, abused, signals),
            approval_required: !approval_reasons.is_empty(),
            approval_reasons,
            next_best_action: play.next.clone(),
            confidence: verdict.confidence,
            due_at: due.map(|due| due.to_string()),
            language,
            automated: verdict.automated.map(|automated| automated.as_str().to_owned()),
        };
        let mapped = self.mapping.map(status, canonical.approval_required, app);
        let abstained = verdict.abstained;
        let situation = Situation { matter, status, canonical: &canonical, mapped: &mapped, abstained, abused };
        let operations = self.playbook.operations(&situation);
        Decision {
            operations,
            graph_hints: graph_hints(play, matter),
            abuse_signals: self.abuse_signals(texts, verdict),
            reasoning: self.reasoning(texts, verdict, fired),
            canonical,
            mapped,
        }
    }

    fn reasoning(&self, texts: &Texts<'_>, verdict: &Verdict, fired: &BTreeMap<usize, Fired>) -> Reasoning {
        let mut ranked: Vec<_> =
            fired.values().filter_map(|fired| Some((fired, self.signals.signal(fired.signal)?))).collect();
        ranked.retain(|(fired, signal)| signal.status.is_some() && fired.score > 0);
        ranked.sort_by_key(|(fired, signal)| {
            (signal.status != Some(verdict.status), std::cmp::Reverse(fired.score), fired.signal)
        });
        let signals = ranked.into_iter().take(MAX_REASONS).map(|(fired, signal)| ReasonSignal {
            code: signal.code.clone(),
            kind: signal.kind.clone(),
            evidence: evidence(texts, fired),
        });
        Reasoning {
            engine: "local".to_owned(),
            version: self.version.clone(),
            model_called: false,
            abstained: verdict.abstained,
            signals: signals.collect(),
        }
    }

    fn abuse_signals(&self, texts: &Texts<'_>, verdict: &Verdict) -> Vec<AbuseSignal> {
        let public = |fired: &Fired| {
            let code = self.signals.signal(fired.signal)?.code.clone();
            Some(AbuseSignal { code, since: None, evidence: evidence(texts, fired) })
        };
        verdict.abuse.iter().filter_map(public).take(MAX_REASONS).collect()
    }

    /// The answer to a status that does not exist: never given, but never a panic either.
    fn nothing(&self, app: &AppProfile) -> Decision {
        let matter = Matter::of("", "", Timestamp::from_micros(0));
        let unclear = self.taxonomy.find("unclear");
        let canonical = Canonical {
            status: "unclear".to_owned(),
            area: unclear.map_or_else(String::new, |status| status.area.clone()),
            priority: crate::contract::answer::Priority::Normal,
            approval_required: true,
            approval_reasons: vec!["low_confidence".to_owned()],
            next_best_action: "Ask a person to read the message".to_owned(),
            confidence: 0.1,
            due_at: None,
            language: None,
            automated: matter.automated.map(|automated| automated.as_str().to_owned()),
        };
        let mapped = crate::contract::answer::Mapped {
            app_name: app.name.clone(),
            current_status: app.context.current_status.clone(),
            status: None,
            inbox: None,
            matched_by: "unmapped".to_owned(),
        };
        let reasoning = Reasoning {
            engine: "local".to_owned(),
            version: self.version.clone(),
            model_called: false,
            abstained: true,
            signals: Vec::new(),
        };
        Decision {
            canonical,
            mapped,
            operations: Vec::new(),
            graph_hints: Vec::new(),
            abuse_signals: Vec::new(),
            reasoning,
        }
    }
}

fn graph_hints(play: &Play, matter: &Matter<'_>) -> Vec<GraphHint> {
    let (Some([kind, subject]), Some(from), Some(to)) = (&play.graph, matter.author, matter.recipients.first()) else {
        return Vec::new();
    };
    vec![GraphHint { kind: kind.clone(), from: from.to_owned(), to: to.clone(), subject: Some(subject.clone()) }]
}

/// First eight hex digits of the SHA-256 over all data files.
fn digest() -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let lexicons = LEXICONS.iter().map(|(_, file)| *file);
    for file in [TAXONOMY, SIGNALS, PRECEDENCE, PLAYBOOK, MAPPING, RECOGNISED].into_iter().chain(lexicons) {
        context.update(file.as_bytes());
    }
    let mut prefix = String::new();
    for byte in context.finish().as_ref().iter().take(4) {
        let _ = write!(prefix, "{byte:02x}");
    }
    prefix
}

const TAXONOMY: &str = include_str!("decide/data/taxonomy.json");
const SIGNALS: &str = include_str!("decide/data/signals.toml");
const PRECEDENCE: &str = include_str!("decide/data/precedence.toml");
const PLAYBOOK: &str = include_str!("decide/data/playbook.toml");
const MAPPING: &str = include_str!("decide/data/mapping.toml");
const RECOGNISED: &str = include_str!("decide/data/lexicon/recognised.toml");
const LEXICONS: [(&str, &str); 7] = [
    ("en", include_str!("decide/data/lexicon/en.toml")),
    ("de", include_str!("decide/data/lexicon/de.toml")),
    ("fr", include_str!("decide/data/lexicon/fr.toml")),
    ("es", include_str!("decide/data/lexicon/es.toml")),
    ("it", include_str!("decide/data/lexicon/it.toml")),
    ("pt", include_str!("decide/data/lexicon/pt.toml")),
    ("nl", include_str!("decide/data/lexicon/nl.toml")),
];

#[cfg(test)]
mod tests;
