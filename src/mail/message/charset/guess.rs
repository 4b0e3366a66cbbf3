//! What octets are likely in when nothing, or the wrong thing, is said about them.
//!
//! Each candidate reads the first octets; the letters that come out say how likely it is. Windows-1252 fails no octets.

use crate::mail::message::decode;

/// Octets that the guess is made from.
const SAMPLE: usize = 4 * 1024;

/// How likely the letter at a place is, in text of its kind.
type Score = fn(&[char], usize) -> i32;

/// The candidates, in the order in which a tie is decided.
const CANDIDATES: [(&str, Score); 7] = [
    ("windows-1252", western),
    ("shift_jis", japanese),
    ("euc-jp", japanese),
    ("gb18030", chinese),
    ("euc-kr", korean),
    ("windows-1251", cyrillic),
    ("koi8-r", cyrillic),
];

/// `bytes` as the text that they are most likely.
pub(super) fn text(bytes: &[u8]) -> String {
    let in_charset = |label: &str| decode::known_charset(bytes, label);
    if has_iso_2022(bytes)
        && let Some(text) = in_charset("iso-2022-jp").filter(|text| !text.contains('\u{fffd}'))
    {
        return text;
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    if let [0xff, 0xfe, rest @ ..] | [0xfe, 0xff, rest @ ..] = bytes
        && rest.len() % 2 == 0
        && let Some(text) = in_charset("utf-16")
    {
        return text.trim_start_matches('\u{feff}').to_owned();
    }
    let sample = bytes.get(..SAMPLE).unwrap_or(bytes);
    let mut best: Option<(&str, i32)> = None;
    for (label, score) in CANDIDATES {
        // What decoders call EUC-KR is Windows-949, whose rare syllables look like Shift_JIS.
        if label == "euc-kr" && !is_euc(sample) {
            continue;
        }
        let Some(text) = decode::known_charset(sample, label) else { continue };
        let letters: Vec<char> = text.chars().collect();
        let foreign: Vec<usize> =
            letters.iter().enumerate().filter(|(_, letter)| !letter.is_ascii()).map(|(index, _)| index).collect();
        let sum: i32 = foreign.iter().map(|index| score(&letters, *index)).sum();
        let count = i32::try_from(foreign.len()).unwrap_or(i32::MAX).max(1);
        let mean = sum / count;
        if best.is_none_or(|(_, most)| mean > most) {
            best = Some((label, mean));
        }
    }
    let label = best.map_or("windows-1252", |(label, _)| label);
    in_charset(label).unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned())
}

/// Whether an escape sequence of ISO-2022-JP is there (RFC 1468): to JIS X 0208.
pub(super) fn has_iso_2022(bytes: &[u8]) -> bool {
    [&b"\x1b$B"[..], b"\x1b$@"].iter().any(|escape| memchr::memmem::find(bytes, escape).is_some())
}

/// Whether octets beyond ASCII stand in pairs of them.
fn is_euc(bytes: &[u8]) -> bool {
    let mut octets = bytes.iter();
    while let Some(first) = octets.find(|octet| !octet.is_ascii()) {
        if *first < 0xa1 || octets.next().is_some_and(|second| *second < 0xa1) {
            return false;
        }
    }
    true
}

/// What no text holds.
const NEVER: i32 = -500;

fn is_never(letter: char) -> bool {
    letter == '\u{fffd}' || letter.is_control() || ('\u{e000}'..='\u{f8ff}').contains(&letter) || letter > '\u{ffff}'
}

/// Letters among ASCII ones, seldom two in a row.
fn western(letters: &[char], index: usize) -> i32 {
    let at = |index: Option<usize>| index.and_then(|index| letters.get(index)).copied();
    let Some(letter) = letters.get(index).copied() else { return 0 };
    let (before, after) = (at(index.checked_sub(1)), at(Some(index + 1)));
    let is_plain = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphabetic());
    let is_foreign = |letter: Option<char>| letter.is_some_and(|letter| !letter.is_ascii() && letter.is_alphabetic());
    match letter {
        letter if is_never(letter) => NEVER,
        letter if letter.is_alphabetic() && (is_plain(before) || is_plain(after)) => 100,
        letter if letter.is_alphabetic() && is_foreign(before) && is_foreign(after) => -100,
        letter if letter.is_alphabetic() => 20,
        '–' | '—' | '‘' | '’' | '“' | '”' | '„' | '…' | '€' | '\u{a0}' | '§' | '°' | '«' | '»' | '•' => {
            60
        }
        _ => -40,
    }
}

fn japanese(letters: &[char], index: usize) -> i32 {
    match letters.get(index).copied().unwrap_or(' ') {
        letter if is_never(letter) => NEVER,
        '\u{3040}'..='\u{30ff}' => 120,
        '\u{3000}'..='\u{303f}' | '\u{ff01}'..='\u{ff5e}' => 60,
        '\u{4e00}'..='\u{9fff}' => 50,
        '\u{ff61}'..='\u{ff9f}' => -60, // narrow katakana
        _ => -40,
    }
}

fn chinese(letters: &[char], index: usize) -> i32 {
    match letters.get(index).copied().unwrap_or(' ') {
        letter if is_never(letter) => NEVER,
        '\u{4e00}'..='\u{9fff}' => 60,
        '\u{3000}'..='\u{303f}' | '\u{ff01}'..='\u{ff5e}' | '“' | '”' => 60,
        _ => -60,
    }
}

fn korean(letters: &[char], index: usize) -> i32 {
    match letters.get(index).copied().unwrap_or(' ') {
        letter if is_never(letter) => NEVER,
        '\u{ac00}'..='\u{d7a3}' => 100,
        _ => -50,
    }
}

/// Words of small letters, with a capital in front at most.
fn cyrillic(letters: &[char], index: usize) -> i32 {
    let before = index.checked_sub(1).and_then(|before| letters.get(before)).copied().unwrap_or(' ');
    match letters.get(index).copied().unwrap_or(' ') {
        letter if is_never(letter) => NEVER,
        letter if !('\u{400}'..='\u{4ff}').contains(&letter) => -60,
        letter if letter.is_uppercase() && before.is_lowercase() => -150,
        _ if before.is_ascii_alphabetic() => -100,
        letter if letter.is_lowercase() => 90,
        _ => 40,
    }
}
