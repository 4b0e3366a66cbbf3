//! Which language a text is in, and whose phrases may be read in it.
//!
//! A language without phrases is never scored as if it were another: its text gives structural facts only.

use super::lexicon::{Hit, Language, Lexicon};

/// What is known about the language of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Guess {
    /// ISO 639-1, where it could be told.
    pub(super) code: Option<String>,
    readable: Readable,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Readable {
    /// Too short to tell: a phrase that is found is itself the evidence of its language.
    All,
    Only(Vec<Language>),
}

impl Guess {
    /// Whether phrases of that language count in this text.
    pub(super) fn reads(&self, language: Language) -> bool {
        match &self.readable {
            Readable::All => true,
            Readable::Only(languages) => languages.contains(&language),
        }
    }
}

/// Text of at most this many words may be too short for function words.
const SHORT: usize = 14;

/// As much of a text as tells its language.
const SAMPLE: usize = 600;

/// Guesses from function words first, which is exact on ordinary text, and from trigrams where those fail.
pub(super) fn guess(lexicon: &Lexicon, hits: &[Hit], text: &str) -> Guess {
    let none = lexicon.language("").into_iter().collect::<Vec<_>>();
    let ranked = lexicon.function_words(hits);
    let words = text.split_whitespace().count();
    let top = ranked.first().copied();
    let second = ranked.get(1).map_or(0, |&(_, count)| count);
    if let Some((language, count)) = top
        && count >= 2
        && count * 10 >= second * 14
        && count * 12 >= words
    {
        let mut readable = none;
        readable.push(language);
        // Mail in two languages is common where one of them is English.
        if let Some(english) = lexicon.language("en")
            && ranked.iter().any(|&(other, count)| other == english && count >= 3)
        {
            readable.push(english);
        }
        return Guess { code: Some(lexicon.code(language).to_owned()), readable: Readable::Only(readable) };
    }
    let detected = whatlang::detect(super::fold::cut(text, SAMPLE));
    if let Some(info) = detected
        && (info.script() != whatlang::Script::Latin || (words > SHORT && info.is_reliable()))
    {
        let code = iso_639_1(info.lang());
        let readable = code.and_then(|code| lexicon.language(code)).into_iter().chain(none).collect();
        return Guess { code: code.map(str::to_owned), readable: Readable::Only(readable) };
    }
    if words <= SHORT {
        let tied: Vec<Language> =
            ranked.iter().filter(|&&(_, count)| count == top.map_or(0, |t| t.1)).map(|r| r.0).collect();
        let code = match tied.as_slice() {
            [one] => Some(lexicon.code(*one).to_owned()),
            _ => only_language(lexicon, hits),
        };
        return Guess { code, readable: Readable::All };
    }
    let readable = ranked.into_iter().map(|(language, _)| language).chain(none).collect();
    Guess { code: None, readable: Readable::Only(readable) }
}

/// The one language in which phrases were found.
fn only_language(lexicon: &Lexicon, hits: &[Hit]) -> Option<String> {
    let mut found = hits.iter().map(|hit| lexicon.code(hit.language)).filter(|code| !code.is_empty());
    let first = found.next()?;
    found.all(|code| code == first).then(|| first.to_owned())
}

/// ISO 639-1 of the languages that mail here is likely to be in.
fn iso_639_1(language: whatlang::Lang) -> Option<&'static str> {
    use whatlang::Lang;
    Some(match language {
        Lang::Eng => "en",
        Lang::Deu => "de",
        Lang::Fra => "fr",
        Lang::Spa => "es",
        Lang::Ita => "it",
        Lang::Por => "pt",
        Lang::Nld => "nl",
        Lang::Swe => "sv",
        Lang::Dan => "da",
        Lang::Nob => "nb",
        Lang::Fin => "fi",
        Lang::Pol => "pl",
        Lang::Ces => "cs",
        Lang::Slk => "sk",
        Lang::Hun => "hu",
        Lang::Ron => "ro",
        Lang::Tur => "tr",
        Lang::Rus => "ru",
        Lang::Ukr => "uk",
        Lang::Ell => "el",
        Lang::Ara => "ar",
        Lang::Heb => "he",
        Lang::Hin => "hi",
        Lang::Jpn => "ja",
        Lang::Kor => "ko",
        Lang::Cmn => "zh",
        Lang::Vie => "vi",
        Lang::Ind => "id",
        Lang::Cat => "ca",
        _ => return None,
    })
}
