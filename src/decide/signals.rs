//! Signals: named reasons, each built from concepts that meet in one sentence.
//!
//! A rule reads `a + b - c`: concepts `a` and `b` in one sentence that has no `c`. `!a` is a negated occurrence, `@a`
//! one anywhere in subject and new text. A signal that has phrases of its own fires on them alone.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::DataError;
use super::fold::Folded;
use super::lexicon::{Concept, ConceptSet, Hit, LexiconBuilder};
use super::taxonomy::{StatusId, Taxonomy};

/// Where a signal is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Scope {
    /// The subject.
    Subject,
    /// The new text.
    Reply,
    /// Subject and new text.
    #[default]
    Any,
    /// Everything, quoted and hidden text included.
    Full,
}

/// One signal.
#[derive(Debug)]
pub(super) struct Signal {
    pub(super) code: String,
    pub(super) status: Option<StatusId>,
    pub(super) weight: i32,
    pub(super) scope: Scope,
    /// `derived` or `claimed`.
    pub(super) kind: String,
}

/// A signal that fired, with the words that made it fire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fired {
    pub(super) signal: usize,
    pub(super) score: i32,
    pub(super) place: Place,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The text in which a signal fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Subject,
    Reply,
    Full,
}

/// All signals and their rules.
#[derive(Debug)]
pub(super) struct Signals {
    pub(super) version: String,
    list: Vec<Signal>,
    rules: Vec<Rule>,
    /// Rules by the first concept they need.
    by_anchor: Vec<Vec<usize>>,
}

#[derive(Debug)]
struct Rule {
    signal: usize,
    all: Vec<Item>,
    none: Vec<Item>,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    concept: Concept,
    negated: bool,
    anywhere: bool,
}

/// One text with its hits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scanned<'a> {
    pub(super) place: Place,
    pub(super) folded: &'a Folded,
    pub(super) hits: &'a [Hit],
}

/// What is true of the whole message: concepts found anywhere, and facts of its structure.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Facts {
    pub(super) anywhere: ConceptSet,
    pub(super) question: Option<Concept>,
    /// A subject that begins with Re: or Fwd: names what was talked about, not what is new.
    pub(super) old_subject: bool,
}

impl Signals {
    pub(super) fn read(file: &str, taxonomy: &Taxonomy, lexicon: &mut LexiconBuilder) -> Result<Self, DataError> {
        let file: SignalFile =
            toml::from_str(file).map_err(|error| DataError::File("signals".to_owned(), Box::new(error)))?;
        for fact in FACTS {
            lexicon.concept(fact)?;
        }
        for (name, pattern) in &file.patterns {
            lexicon.add_pattern(name, pattern)?;
        }
        let mut signals = Self { version: file.version, list: Vec::new(), rules: Vec::new(), by_anchor: Vec::new() };
        for (code, row) in file.signals {
            let status = row.status.as_deref().map(|name| taxonomy.id(name)).transpose()?;
            let index = signals.list.len();
            if let Some(own) = lexicon.known(&code) {
                let all = vec![Item { concept: own, negated: false, anywhere: false }];
                let none = row.except.iter().map(|text| item(text, &code, lexicon)).collect::<Result<_, _>>()?;
                signals.rules.push(Rule { signal: index, all, none });
            } else if row.rules.is_empty() {
                return Err(DataError::EmptyPhrase(code));
            }
            for rule in &row.rules {
                signals.rules.push(parse_rule(index, rule, &row.except, (&code, lexicon))?);
            }
            let kind = row.kind.unwrap_or_else(|| "derived".to_owned());
            signals.list.push(Signal { code, status, weight: row.weight, scope: row.scope, kind });
        }
        signals.index();
        Ok(signals)
    }

    /// The signal at `index`.
    pub(super) fn signal(&self, index: usize) -> Option<&Signal> {
        self.list.get(index)
    }

    /// The signal of this public code.
    pub(super) fn of_code(&self, code: &str) -> Option<&Signal> {
        self.list.iter().find(|signal| signal.code == code)
    }

    /// Number of signals.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Every signal that fires in one text, its best occurrence only.
    pub(super) fn fire(&self, scanned: Scanned<'_>, facts: &Facts, fired: &mut BTreeMap<usize, Fired>) {
        let mut rest = scanned.hits;
        while let Some(first) = rest.first() {
            let split = rest.partition_point(|hit| hit.sentence == first.sentence);
            let (sentence, later) = rest.split_at(split.max(1));
            rest = later;
            self.fire_in_sentence(scanned, sentence, facts, fired);
        }
    }

    fn fire_in_sentence(&self, scanned: Scanned<'_>, hits: &[Hit], facts: &Facts, fired: &mut BTreeMap<usize, Fired>) {
        let mut plain = ConceptSet::default();
        let mut negated = ConceptSet::default();
        for hit in hits {
            if hit.negated { negated.insert(hit.concept) } else { plain.insert(hit.concept) }
        }
        let number = hits.first().map_or(0, |hit| hit.sentence);
        if let (Some(question), Some(true)) =
            (facts.question, scanned.folded.sentences.get(number).map(|sentence| sentence.question))
        {
            plain.insert(question);
        }
        let holds = |item: &Item| {
            if item.anywhere {
                facts.anywhere.contains(item.concept)
            } else if item.negated {
                negated.contains(item.concept)
            } else {
                plain.contains(item.concept)
            }
        };
        let mut seen = ConceptSet::default();
        for hit in hits {
            if seen.contains(hit.concept) {
                continue;
            }
            seen.insert(hit.concept);
            for &rule in self.by_anchor.get(usize::from(hit.concept)).into_iter().flatten() {
                let Some(rule) = self.rules.get(rule) else { continue };
                if rule.all.iter().all(holds) && !rule.none.iter().any(holds) {
                    self.note(rule, (scanned, hits), facts, fired);
                }
            }
        }
    }

    fn note(&self, rule: &Rule, at: (Scanned<'_>, &[Hit]), facts: &Facts, fired: &mut BTreeMap<usize, Fired>) {
        let (scanned, hits) = at;
        let Some(signal) = self.list.get(rule.signal) else { return };
        let in_scope = match signal.scope {
            Scope::Full => true,
            Scope::Any => scanned.place != Place::Full,
            Scope::Subject => scanned.place == Place::Subject,
            Scope::Reply => scanned.place == Place::Reply,
        };
        if !in_scope {
            return;
        }
        let score =
            if scanned.place == Place::Subject && facts.old_subject { signal.weight / 4 } else { signal.weight };
        let used = || {
            hits.iter().filter(|hit| {
                rule.all.iter().any(|item| !item.anywhere && item.concept == hit.concept && item.negated == hit.negated)
            })
        };
        let start = used().map(|hit| hit.start).min().unwrap_or(0);
        let end = used().map(|hit| hit.end).max().unwrap_or(start);
        let new = Fired { signal: rule.signal, score, place: scanned.place, start, end };
        fired
            .entry(rule.signal)
            .and_modify(|old| {
                if old.score < score {
                    *old = new;
                }
            })
            .or_insert(new);
    }

    fn index(&mut self) {
        self.by_anchor = vec![Vec::new(); ConceptSet::CAPACITY];
        for (number, rule) in self.rules.iter().enumerate() {
            let anchor = rule.all.iter().find(|item| !item.anywhere);
            if let Some(list) = anchor.and_then(|item| self.by_anchor.get_mut(usize::from(item.concept))) {
                list.push(number);
            }
        }
    }
}

/// Concepts that the engine itself sets from structure.
pub(super) const FACTS: [&str; 2] = ["question", "has_attachment"];

fn parse_rule(
    signal: usize,
    text: &str,
    except: &[String],
    context: (&str, &LexiconBuilder),
) -> Result<Rule, DataError> {
    let (code, lexicon) = context;
    let mut rule = Rule { signal, all: Vec::new(), none: Vec::new() };
    let mut wanted = true;
    for token in text.split_whitespace() {
        match token {
            "+" => wanted = true,
            "-" => wanted = false,
            name if wanted => rule.all.push(item(name, code, lexicon)?),
            name => rule.none.push(item(name, code, lexicon)?),
        }
    }
    for name in except {
        rule.none.push(item(name, code, lexicon)?);
    }
    // The question mark is set per sentence, not found as a phrase, so it cannot be what a rule is looked up by.
    if let Some(question) = lexicon.known("question") {
        rule.all.sort_by_key(|item| item.concept == question);
    }
    let first_is_question = rule.all.first().map(|item| Some(item.concept) == lexicon.known("question"));
    if rule.all.iter().all(|item| item.anywhere) || first_is_question != Some(false) {
        return Err(DataError::Rule(code.to_owned(), text.to_owned()));
    }
    Ok(rule)
}

fn item(text: &str, code: &str, lexicon: &LexiconBuilder) -> Result<Item, DataError> {
    let (anywhere, rest) = text.strip_prefix('@').map_or((false, text), |rest| (true, rest));
    let (negated, name) = rest.strip_prefix('!').map_or((false, rest), |rest| (true, rest));
    let concept = lexicon.known(name).ok_or_else(|| DataError::Rule(code.to_owned(), text.to_owned()))?;
    Ok(Item { concept, negated, anywhere })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignalFile {
    version: String,
    #[serde(default)]
    patterns: BTreeMap<String, String>,
    signals: BTreeMap<String, SignalRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignalRow {
    #[serde(rename = "for")]
    status: Option<String>,
    weight: i32,
    #[serde(default)]
    scope: Scope,
    kind: Option<String>,
    /// One line for people.
    #[serde(rename = "says")]
    _says: String,
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
}
