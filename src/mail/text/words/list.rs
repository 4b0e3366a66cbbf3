//! Words that are looked for at the beginnings and ends of lines: each line is compared with few of them.

use super::{ends_with_word, starts_with_word};

/// Words of one meaning, found by the octets that they begin and end with.
#[derive(Debug, Default)]
pub(in crate::mail::text) struct List {
    by_first: Bucket,
    by_last: Bucket,
}

/// Words in order of one of their octets.
#[derive(Debug, Default)]
struct Bucket {
    words: Vec<&'static str>,
    /// Where the words of an octet begin, and behind the last where they end; empty without words.
    places: Vec<usize>,
}

impl Bucket {
    fn new(words: &[&'static str], octet: impl Fn(&str) -> Option<u8>) -> Self {
        let mut keyed: Vec<(u8, &'static str)> =
            words.iter().filter_map(|word| octet(word).map(|octet| (octet, *word))).collect();
        // Stable: of several that fit, the one that the list names first is found first.
        keyed.sort_by_key(|(octet, _)| *octet);
        let place = |octet: u16| keyed.partition_point(|(other, _)| u16::from(*other) < octet);
        Self { places: (0..=256).map(place).collect(), words: keyed.into_iter().map(|(_, word)| word).collect() }
    }

    fn of(&self, octet: Option<&u8>) -> &[&'static str] {
        let Some(octet) = octet.map(|octet| usize::from(*octet)) else { return &[] };
        let place = |octet: usize| self.places.get(octet).copied().unwrap_or_default();
        self.words.get(place(octet)..place(octet + 1)).unwrap_or_default()
    }
}

impl FromIterator<&'static str> for List {
    fn from_iter<I: IntoIterator<Item = &'static str>>(words: I) -> Self {
        let words: Vec<&'static str> = words.into_iter().collect();
        let first = |word: &str| word.as_bytes().first().copied();
        let last = |word: &str| word.as_bytes().last().copied();
        Self { by_first: Bucket::new(&words, first), by_last: Bucket::new(&words, last) }
    }
}

impl List {
    /// All of them.
    pub(in crate::mail::text) fn iter(&self) -> impl Iterator<Item = &'static str> {
        self.by_first.words.iter().copied()
    }

    fn at_start(&self, text: &str) -> &[&'static str] {
        self.by_first.of(text.as_bytes().first())
    }

    fn at_end(&self, text: &str) -> &[&'static str] {
        self.by_last.of(text.as_bytes().last())
    }

    /// Whether `text` is one of them.
    pub(in crate::mail::text) fn has(&self, text: &str) -> bool {
        self.at_start(text).contains(&text)
    }

    /// Whether `text` begins with one of them, also within a word.
    pub(in crate::mail::text) fn starts(&self, text: &str) -> bool {
        self.at_start(text).iter().any(|word| text.starts_with(word))
    }

    /// Whether `text` begins with one of them as a whole word.
    pub(in crate::mail::text) fn starts_as_word(&self, text: &str) -> bool {
        self.at_start(text).iter().any(|word| starts_with_word(text, word))
    }

    /// Whether `text` ends with one of them, also within a word.
    pub(in crate::mail::text) fn ends(&self, text: &str) -> bool {
        self.at_end(text).iter().any(|word| text.ends_with(word))
    }

    /// Whether `text` ends with one of them as a whole word.
    pub(in crate::mail::text) fn ends_as_word(&self, text: &str) -> bool {
        self.at_end(text).iter().any(|word| ends_with_word(text, word))
    }

    /// `text` without the one of them that it ends with.
    pub(in crate::mail::text) fn strip_end<'a>(&self, text: &'a str) -> Option<&'a str> {
        self.at_end(text).iter().find_map(|word| text.strip_suffix(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_at_both_ends_as_if_all_were_looked_at() {
        let list: List = ["on", "only", "wrote", "のメール", "é"].into_iter().collect();
        let none = List::default();
        for text in ["", "on", "on monday", "only", "ann wrote", "rewrote", "ノラのメール", "é", "mé", "x"] {
            let any = |test: &dyn Fn(&str) -> bool| list.iter().any(test);
            assert_eq!(list.has(text), any(&|word| text == word), "{text}");
            assert_eq!(list.starts(text), any(&|word| text.starts_with(word)), "{text}");
            assert_eq!(list.ends(text), any(&|word| text.ends_with(word)), "{text}");
            assert_eq!(list.starts_as_word(text), any(&|word| starts_with_word(text, word)), "{text}");
            assert_eq!(list.ends_as_word(text), any(&|word| ends_with_word(text, word)), "{text}");
            assert!(!none.has(text) && !none.starts(text) && !none.ends(text));
        }
        assert!(list.has("é") && !list.has("wrot") && list.ends("ann wrote"));
        assert_eq!(list.strip_end("ノラのメール"), Some("ノラ"));
    }
}
