//! Phrases and patterns of all languages, compiled into one automaton: text in, named hits out.
//!
//! A *concept* is a name for phrases that mean the same in several languages. Signals are built from concepts; a
//! concept alone decides nothing.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;
use regex::Regex;

use super::DataError;
use super::fold::{Folded, Sentence};

/// Index of a concept.
pub(super) type Concept = u16;

/// A language with phrases of its own, or one that is only recognised so that it is not taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Language(u8);

/// One occurrence of a concept in a folded text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) concept: Concept,
    pub(super) language: Language,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) sentence: usize,
    /// A negation stands within a few words before (or, where the language does so, after).
    pub(super) negated: bool,
}

/// More hits than this are not looked at: a bound for hostile text.
const MAX_HITS: usize = 20_000;

/// Words between a negation and what it negates.
const NEGATION_REACH: usize = 5;

/// Words between a concept and a negation that follows it.
const NEGATION_REACH_BACK: usize = 2;

/// The compiled phrases.
#[derive(Debug)]
pub(super) struct Lexicon {
    automaton: AhoCorasick,
    /// Concept and language of each pattern of the automaton; one pattern may stand for several.
    meanings: Vec<Vec<(Concept, Language)>>,
    patterns: Vec<(Concept, Regex)>,
    concepts: BTreeMap<String, Concept>,
    languages: Vec<String>,
    marks: Marks,
}

/// Concepts with a meaning for the scanner itself.
#[derive(Debug, Default, Clone, Copy)]
struct Marks {
    negator: Concept,
    negator_after: Concept,
    no_negator: Concept,
    contrast: Concept,
    function_word: Concept,
}

/// Builds a [`Lexicon`] from the data files.
#[derive(Debug, Default)]
pub(super) struct LexiconBuilder {
    phrases: BTreeMap<String, Vec<(Concept, Language)>>,
    patterns: Vec<(Concept, Regex)>,
    concepts: BTreeMap<String, Concept>,
    languages: Vec<String>,
}

impl LexiconBuilder {
    /// Takes up the phrases of one language: concept to phrases.
    pub(super) fn add_language(&mut self, code: &str, file: &str) -> Result<(), DataError> {
        let table: BTreeMap<String, Vec<String>> =
            toml::from_str(file).map_err(|error| DataError::File(code.to_owned(), Box::new(error)))?;
        let language = self.language(code)?;
        for (name, phrases) in table {
            let concept = self.concept(&name)?;
            for phrase in phrases {
                let folded = Folded::new(&phrase);
                let text = folded.text.trim().replace('\n', " ");
                if text.is_empty() {
                    return Err(DataError::EmptyPhrase(name));
                }
                let meanings = self.phrases.entry(text).or_default();
                if !meanings.contains(&(concept, language)) {
                    meanings.push((concept, language));
                }
            }
        }
        Ok(())
    }

    /// Takes up languages that are only recognised, by their function words.
    pub(super) fn add_recognised(&mut self, file: &str) -> Result<(), DataError> {
        let table: BTreeMap<String, Vec<String>> =
            toml::from_str(file).map_err(|error| DataError::File("recognised".to_owned(), Box::new(error)))?;
        for (code, words) in table {
            let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            self.add_language(&code, &format!("function_word = [{}]", words.join(", ")))?;
        }
        Ok(())
    }

    /// Takes up a pattern over folded text, of no language.
    pub(super) fn add_pattern(&mut self, name: &str, pattern: &str) -> Result<(), DataError> {
        let concept = self.concept(name)?;
        let regex = Regex::new(pattern).map_err(|error| DataError::Pattern(name.to_owned(), Box::new(error)))?;
        self.patterns.push((concept, regex));
        Ok(())
    }

    /// The concept of that name, made where it is new.
    pub(super) fn concept(&mut self, name: &str) -> Result<Concept, DataError> {
        if let Some(&known) = self.concepts.get(name) {
            return Ok(known);
        }
        let concept = Concept::try_from(self.concepts.len()).map_err(|_| DataError::TooMany("concepts"))?;
        if usize::from(concept) >= ConceptSet::CAPACITY {
            return Err(DataError::TooMany("concepts"));
        }
        self.concepts.insert(name.to_owned(), concept);
        Ok(concept)
    }

    /// The concept of that name where a data file or the engine already gave it a meaning.
    pub(super) fn known(&self, name: &str) -> Option<Concept> {
        self.concepts.get(name).copied()
    }

    pub(super) fn build(mut self) -> Result<Lexicon, DataError> {
        let marks = Marks {
            negator: self.concept("negator")?,
            negator_after: self.concept("negator_after")?,
            no_negator: self.concept("no_negator")?,
            contrast: self.concept("contrast")?,
            function_word: self.concept("function_word")?,
        };
        self.language("")?;
        let automaton = AhoCorasick::builder()
            .build(self.phrases.keys())
            .map_err(|error| DataError::Pattern("phrases".to_owned(), Box::new(error)))?;
        Ok(Lexicon {
            automaton,
            meanings: self.phrases.into_values().collect(),
            patterns: self.patterns,
            concepts: self.concepts,
            languages: self.languages,
            marks,
        })
    }

    fn language(&mut self, code: &str) -> Result<Language, DataError> {
        let at = self.languages.iter().position(|known| known == code).unwrap_or_else(|| {
            self.languages.push(code.to_owned());
            self.languages.len() - 1
        });
        u8::try_from(at).map(Language).map_err(|_| DataError::TooMany("languages"))
    }
}

impl Lexicon {
    /// All hits in a folded text, in order of sentence, with negations resolved.
    pub(super) fn scan(&self, folded: &Folded) -> Vec<Hit> {
        let mut hits = Vec::new();
        let mut sentence = 0;
        for found in self.automaton.find_overlapping_iter(folded.text.as_str()) {
            if hits.len() >= MAX_HITS {
                break;
            }
            if !stands_alone(&folded.text, found.start(), found.end()) {
                continue;
            }
            // Ends never go back, so the sentence is found by moving on.
            while folded.sentences.get(sentence).is_some_and(|s: &Sentence| s.end < found.end()) {
                sentence += 1;
            }
            for &(concept, language) in self.meanings.get(found.pattern().as_usize()).into_iter().flatten() {
                hits.push(Hit { concept, language, start: found.start(), end: found.end(), sentence, negated: false });
            }
        }
        self.scan_patterns(folded, &mut hits);
        self.resolve_negations(folded, &mut hits);
        hits
    }

    /// The concept of that name.
    pub(super) fn concept(&self, name: &str) -> Option<Concept> {
        self.concepts.get(name).copied()
    }

    /// ISO 639-1 code; empty for what belongs to no language.
    pub(super) fn code(&self, language: Language) -> &str {
        self.languages.get(usize::from(language.0)).map_or("", String::as_str)
    }

    /// The language of that code.
    pub(super) fn language(&self, code: &str) -> Option<Language> {
        let at = self.languages.iter().position(|known| known == code)?;
        u8::try_from(at).ok().map(Language)
    }

    /// How many function words of each language were hit, most first.
    pub(super) fn function_words(&self, hits: &[Hit]) -> Vec<(Language, usize)> {
        let mut counts = vec![0usize; self.languages.len()];
        for hit in hits.iter().filter(|hit| hit.concept == self.marks.function_word) {
            if let Some(count) = counts.get_mut(usize::from(hit.language.0)) {
                *count += 1;
            }
        }
        let mut ranked: Vec<_> =
            counts.into_iter().zip(0u8..).map(|(count, index)| (Language(index), count)).filter(|r| r.1 > 0).collect();
        ranked.sort_by_key(|&(language, count)| (std::cmp::Reverse(count), language));
        ranked
    }

    fn scan_patterns(&self, folded: &Folded, hits: &mut Vec<Hit>) {
        let Some(language) = self.language("") else { return };
        for (concept, regex) in &self.patterns {
            for found in regex.find_iter(&folded.text).take(MAX_PATTERN_HITS) {
                let sentence = folded.sentences.partition_point(|s| s.end < found.end());
                hits.push(Hit {
                    concept: *concept,
                    language,
                    start: found.start(),
                    end: found.end(),
                    sentence,
                    negated: false,
                });
            }
        }
        hits.sort_by_key(|hit| (hit.sentence, hit.start, hit.end, hit.concept, hit.language));
    }

    /// Marks what a negation within reach, in the same clause, takes back.
    fn resolve_negations(&self, folded: &Folded, hits: &mut [Hit]) {
        let marks = self.marks;
        let free: Vec<(usize, usize)> =
            hits.iter().filter(|hit| hit.concept == marks.no_negator).map(|hit| (hit.start, hit.end)).collect();
        // Sorted and short: only the last few that begin before a negation can cover it.
        let is_free = |hit: &Hit| {
            let later = free.partition_point(|&(start, _)| start <= hit.start);
            free.get(..later).into_iter().flatten().rev().take(4).any(|&(_, end)| hit.end <= end)
        };
        let before: Vec<Hit> =
            hits.iter().filter(|hit| hit.concept == marks.negator && !is_free(hit)).copied().collect();
        let after: Vec<Hit> =
            hits.iter().filter(|hit| hit.concept == marks.negator_after && !is_free(hit)).copied().collect();
        let contrasts: Vec<usize> =
            hits.iter().filter(|hit| hit.concept == marks.contrast).map(|hit| hit.start).collect();
        let own = [marks.negator, marks.negator_after, marks.no_negator, marks.contrast, marks.function_word];
        let reaches = |from: usize, to: usize, words: usize| {
            folded.text.get(from..to).is_some_and(|gap| gap.bytes().filter(|&b| b == b' ').count() <= words)
                && !folded.clause_ends_between(from, to)
                && contrasts.get(contrasts.partition_point(|&at| at < from)).is_none_or(|&at| at >= to)
        };
        for hit in hits.iter_mut().filter(|hit| !own.contains(&hit.concept)) {
            let last_before = before.partition_point(|n| (n.sentence, n.end) <= (hit.sentence, hit.start));
            let negated_before = before.get(..last_before).into_iter().flatten().rev().take(3).any(|negator| {
                negator.sentence == hit.sentence
                    && negator.end <= hit.start
                    && reaches(negator.end, hit.start, NEGATION_REACH)
            });
            let first_after = after.partition_point(|n| (n.sentence, n.start) < (hit.sentence, hit.end));
            let negated_after = after.get(first_after).is_some_and(|negator| {
                negator.sentence == hit.sentence && reaches(hit.end, negator.start, NEGATION_REACH_BACK)
            });
            hit.negated = negated_before || negated_after;
        }
    }
}

/// More occurrences of one pattern add nothing.
const MAX_PATTERN_HITS: usize = 64;

/// A set of concepts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ConceptSet([u64; 16]);

impl ConceptSet {
    /// Concepts that fit.
    pub(super) const CAPACITY: usize = 1024;

    pub(super) fn insert(&mut self, concept: Concept) {
        if let Some(word) = self.0.get_mut(usize::from(concept / 64)) {
            *word |= 1 << (concept % 64);
        }
    }

    pub(super) fn contains(&self, concept: Concept) -> bool {
        self.0.get(usize::from(concept / 64)).is_some_and(|word| word & (1 << (concept % 64)) != 0)
    }
}

/// Whether a match begins and ends at the border of a word; `can` is not found in `can't`.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let bytes = text.as_bytes();
    let is_word = |at: usize| bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b >= 0x80);
    let opens = start == 0 || !is_word(start) || !is_word(start - 1);
    let closes = end == 0 || !is_word(end) || !is_word(end - 1);
    let shortened = bytes.get(end) == Some(&b'\'') && bytes.get(end + 1) == Some(&b't') && !is_word(end + 2);
    opens && closes && !shortened
}
