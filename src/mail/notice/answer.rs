//! Automatic answers: how they are known, until when they say that somebody is away, and who stands in.
//!
//! Standards: RFC 3834 (Auto-Submitted), RFC 5230 (vacation).

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};

use super::Evidence;
use super::failure::addresses;
use crate::clock::Timestamp;

/// Octets of the text in which dates and addresses are looked for: absence notes are short.
const LOOKED_AT: usize = 8 * 1024;
/// Most addresses that are taken for persons who stand in.
const COVERING: usize = 5;

/// Whether `evidence` is an automatic answer.
pub(super) fn is_answer(evidence: &Evidence<'_>) -> bool {
    let is_replied = evidence.auto_submitted.as_deref() == Some("auto-replied"); // RFC 3834 §5
    let is_vacation = matches!(evidence.precedence.as_deref(), Some("auto_reply" | "auto-reply"));
    is_replied || is_vacation || evidence.has_auto_reply_mark || has_subject(&evidence.subject.to_lowercase())
}

/// Whether a subject in lower case is one that automatic answerers write.
pub(super) fn has_subject(subject: &str) -> bool {
    let subject = subject.trim_start();
    SUBJECTS.iter().any(|start| subject.starts_with(start))
}

/// What automatic answerers put in front of the original subject, lower case.
const SUBJECTS: &[&str] = &[
    "automatic reply",
    "automatic response",
    "automated reply",
    "automated response",
    "auto reply",
    "auto-reply",
    "autoreply",
    "auto response",
    "auto-response",
    "autoresponse",
    "out of office",
    "out-of-office",
    "out of the office",
    "vacation reply",
    "automatische antwort",
    "abwesenheitsnotiz",
    "abwesenheit:",
    "abwesenheitsmeldung",
    "abwesenheitsassistent",
    "nicht im büro",
    "réponse automatique",
    "absence du bureau",
    "message d'absence",
    "respuesta automática",
    "respuesta automatica",
    "fuera de la oficina",
    "fuera de oficina",
    "risposta automatica",
    "fuori ufficio",
    "fuori sede",
    "resposta automática",
    "resposta automatica",
    "fora do escritório",
    "ausência temporária",
    "automatisch antwoord",
    "automatische beantwoording",
    "afwezigheidsbericht",
    "afwezig:",
    "odpowiedź automatyczna",
    "automatyczna odpowiedź",
    "poza biurem",
    "nieobecność:",
    "autosvar",
    "automatiskt svar",
    "frånvaro",
    "automatisk svar",
    "automaattinen vastaus",
    "automatická odpověď",
    "автоматический ответ",
    "автоответ",
    "自動返信",
    "自動応答",
    "不在通知",
    "自动回复",
    "自動回覆",
    "자동 회신",
];

/// The day that the text of an absence names as its end or as the return, `YYYY-MM-DD`.
///
/// Only what has one reading is read: `04/05/2026` names two days. A day without a year is the next one after the
/// message was written.
pub(super) fn returns(evidence: &Evidence<'_>) -> Option<String> {
    let written = day(evidence.written?)?;
    let text = cut(evidence.text).to_lowercase();
    let found = ENDS.iter().flat_map(|word| text.match_indices(word)).filter(|(at, word)| {
        let before = text.get(..*at).and_then(|before| before.chars().next_back());
        !word.starts_with(|first: char| first.is_ascii_alphabetic()) || before.is_none_or(|one| !one.is_alphanumeric())
    });
    let mut places: Vec<usize> = found.map(|(at, word)| at + word.len()).collect();
    places.sort_unstable();
    let named = |at: &usize| date_behind(text.get(*at..)?, written);
    let named = places.iter().take(PLACES).find_map(named).or_else(|| date_before_made(&text, written))?;
    (named >= written).then(|| named.to_string())
}

/// Most words that are looked at.
const PLACES: usize = 64;

/// Words behind which the end of an absence is named, lower case.
const ENDS: &[&str] = &[
    "until",
    "till ",
    "through ",
    "thru ",
    "back on",
    "back in the office on",
    "back in office on",
    "back ",
    "return on",
    "return to the office on",
    "returning on",
    "returning",
    "return ",
    "available again",
    "bis ",
    "zurück am",
    "wieder am",
    "ab dem",
    "ab ",
    "zurück",
    "erreichbar",
    "jusqu'au",
    "jusqu’au",
    "jusqu'à",
    "de retour",
    "retour le",
    "retour",
    "au bureau le",
    "hasta el",
    "hasta",
    "regreso",
    "regresaré",
    "vuelvo",
    "volveré",
    "a partir del",
    "de vuelta",
    "fino al",
    "fino a",
    "rientro",
    "rientrerò",
    "tornerò",
    "ritorno",
    "di nuovo in ufficio",
    "dal ",
    "até ",
    "retorno",
    "volto",
    "voltarei",
    "retornarei",
    "a partir de",
    "t/m",
    "tot en met",
    "tot ",
    "terug op",
    "terug",
    "vanaf",
    "do dnia",
    "do ",
    "wracam",
    "powrót",
    "będę dostępn",
    "od dnia",
    "till och med",
    "t.o.m",
    "till ",
    "tillbaka",
    "åter",
    "fram till",
    "från den",
    "tilbage",
    "indtil",
    "til og med",
    "tilbake",
];

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LOOKED_AT)).unwrap_or_default()
}

fn day(time: Timestamp) -> Option<Date> {
    let time = jiff::Timestamp::from_microsecond(time.as_micros()).ok()?;
    Some(jiff::tz::TimeZone::UTC.to_datetime(time).date())
}

/// The date with which a text begins, some small words apart.
fn date_behind(text: &str, written: Date) -> Option<Date> {
    let text: &str = text.get(..text.floor_char_boundary(80)).unwrap_or_default();
    let text = text.split(['\n', ';', '!', '?']).next().unwrap_or_default();
    let separators = |letter: char| letter.is_whitespace() || ",()".contains(letter);
    let words: Vec<&str> = text.split(separators).filter(|word| !word.is_empty()).take(8).collect();
    let first = words.iter().position(|word| !is_small(word))?;
    let mut words = words.get(first..)?.iter();
    let mut word = words.next().copied()?;
    if let Some(weekday) = weekday(word) {
        // `Monday, April 6th`: the date says more than the day.
        let dated = words
            .clone()
            .find(|word| !is_small(word))
            .and_then(|next| numbered(next, &words_from(&words, next), written));
        return dated.or_else(|| next_weekday(weekday, written));
    }
    let mut rest: Vec<&str> = words.clone().copied().collect();
    if is_small(word) {
        word = words.next().copied()?;
        rest = words.copied().collect();
    }
    numbered(word, &rest, written)
}

fn words_from<'a>(words: &std::slice::Iter<'_, &'a str>, after: &str) -> Vec<&'a str> {
    words.clone().skip_while(|word| **word != after).skip(1).copied().collect()
}

/// Words that may stand between the end's word and the date.
fn is_small(word: &str) -> bool {
    const SMALL: &[&str] = &[
        "the",
        "on",
        "in",
        "office",
        "to",
        "and",
        "including",
        "einschließlich",
        "einschl.",
        "zum",
        "am",
        "dem",
        "den",
        "der",
        "im",
        "büro",
        "wieder",
        "inkl.",
        "le",
        "au",
        "lundi",
        "el",
        "día",
        "al",
        "il",
        "giorno",
        "dia",
        "no",
        "o",
        "em",
        "op",
        "de",
        "de",
        "dnia",
        "do",
        "den",
        "od",
        "again",
        "work",
        "at",
        "my",
        "desk",
        "con",
        "inclusive",
        "van",
    ];
    SMALL.contains(&word)
}

/// A date that `word` begins and `rest` may go on with.
fn numbered(word: &str, rest: &[&str], written: Date) -> Option<Date> {
    let word = word.trim_end_matches(['.', ':']);
    if let Ok(date) = word.parse::<Date>() {
        return Some(date);
    }
    for separator in ['.', '/', '-'] {
        if word.contains(separator) {
            return digits(word, separator, written);
        }
    }
    let mut rest =
        rest.iter().map(|word| word.trim_matches(['.', ':', ','])).filter(|word| !matches!(*word, "of" | "de" | "den"));
    let (day, month) = match (day_of(word), month_of(word)) {
        (Some(day), _) => (day, month_of(rest.next()?)?),
        (_, Some(month)) => (day_of(rest.next()?)?, month),
        _ => return None,
    };
    let year = rest.next().and_then(|word| word.parse::<i16>().ok()).filter(|year| (2000..2200).contains(year));
    with_year(year, month, day, written)
}

/// `16.03.2026`, `16.3.`, `16/03/2026`: the day first, unless only the other order is a date, or both are.
fn digits(word: &str, separator: char, written: Date) -> Option<Date> {
    let mut parts = word.split(separator).filter(|part| !part.is_empty()).map(str::parse::<i16>);
    let (first, second) = (parts.next()?.ok()?, parts.next()?.ok()?);
    let year = match parts.next() {
        Some(year) => Some(year.ok()?).map(|year| if year < 100 { 2000 + year } else { year }),
        None => None,
    };
    let (day, month) = match separator {
        '.' => (first, second),
        _ if first > 12 || first == second => (first, second),
        _ if second > 12 => (second, first),
        _ => return None,
    };
    with_year(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?, written)
}

fn with_year(year: Option<i16>, month: i8, day: i8, written: Date) -> Option<Date> {
    if let Some(year) = year {
        return Date::new(year, month, day).ok();
    }
    let this = Date::new(written.year(), month, day).ok()?;
    if this >= written { Some(this) } else { Date::new(written.year().checked_add(1)?, month, day).ok() }
}

/// `6`, `6th`, `1er`, `16.`
fn day_of(word: &str) -> Option<i8> {
    let digits = word.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let tail = word.get(digits.len()..)?;
    let is_day = matches!(tail, "" | "." | "st" | "nd" | "rd" | "th" | "er" | "º" | "°" | "e");
    digits.parse().ok().filter(|day| is_day && (1..=31).contains(day))
}

/// The month whose name begins so, in the languages of Europe that answerers speak.
fn month_of(word: &str) -> Option<i8> {
    let starts: [(&[&str], i8); 12] = [
        (&["jan", "jän", "ene", "gen", "stycz"], 1),
        (&["feb", "fév", "fev", "lut"], 2),
        (&["mar", "mär", "maa", "mrz"], 3),
        (&["apr", "avr", "abr", "kwie"], 4),
        (&["may", "mai", "mag", "mei", "maj", "mayo"], 5),
        (&["jun", "juin", "giu", "czerw"], 6),
        (&["jul", "juil", "lug", "lip"], 7),
        (&["aug", "aoû", "aou", "ago", "sier"], 8),
        (&["sep", "set", "wrze"], 9),
        (&["oct", "okt", "ott", "out", "paźdz"], 10),
        (&["nov", "listop"], 11),
        (&["dec", "dez", "déc", "dic", "grud"], 12),
    ];
    if word.chars().count() < 3 || word.chars().count() > 12 || word.contains(|letter: char| letter.is_ascii_digit()) {
        return None;
    }
    starts.iter().find(|(names, _)| names.iter().any(|name| word.starts_with(name))).map(|(_, month)| *month)
}

fn weekday(word: &str) -> Option<Weekday> {
    let names: [(&[&str], Weekday); 7] = [
        (
            &["monday", "montag", "lundi", "lunes", "lunedì", "segunda-feira", "maandag", "poniedział", "måndag"],
            Weekday::Monday,
        ),
        (
            &["tuesday", "dienstag", "mardi", "martes", "martedì", "terça-feira", "dinsdag", "wtor", "tisdag"],
            Weekday::Tuesday,
        ),
        (
            &[
                "wednesday",
                "mittwoch",
                "mercredi",
                "miércoles",
                "mercoledì",
                "quarta-feira",
                "woensdag",
                "środ",
                "onsdag",
            ],
            Weekday::Wednesday,
        ),
        (
            &["thursday", "donnerstag", "jeudi", "jueves", "giovedì", "quinta-feira", "donderdag", "czwart", "torsdag"],
            Weekday::Thursday,
        ),
        (
            &["friday", "freitag", "vendredi", "viernes", "venerdì", "sexta-feira", "vrijdag", "piąt", "fredag"],
            Weekday::Friday,
        ),
        (&["saturday", "samstag", "samedi", "sábado", "sabato", "zaterdag", "sobot", "lördag"], Weekday::Saturday),
        (&["sunday", "sonntag", "dimanche", "domingo", "domenica", "zondag", "niedziel", "söndag"], Weekday::Sunday),
    ];
    names.iter().find(|(names, _)| names.iter().any(|name| word.starts_with(name))).map(|(_, day)| *day)
}

fn next_weekday(weekday: Weekday, written: Date) -> Option<Date> {
    (1..=7).filter_map(|days| written.checked_add(days.days()).ok()).find(|date| date.weekday() == weekday)
}

/// `2026年8月24日まで`, `8月24日から出社`: languages that name the date in front of the word.
fn date_before_made(text: &str, written: Date) -> Option<Date> {
    let number_before = |text: &str| -> Option<i16> {
        let digits: Vec<char> = text.chars().rev().take_while(char::is_ascii_digit).take(4).collect();
        digits.into_iter().rev().collect::<String>().parse().ok()
    };
    let ends = text.match_indices('日').take(PLACES);
    let dates = ends.filter_map(|(at, sign)| {
        let behind =
            text.get(at + sign.len()..)?.trim_start_matches(|letter: char| "（()）月火水木金土日曜".contains(letter));
        let is_end = ["まで", "迄", "に戻", "より出社", "から出社", "に出社", "回来", "为止"]
            .iter()
            .any(|word| behind.starts_with(word));
        let before = text.get(..at)?;
        let day = number_before(before)?;
        let (before, _) = before.rsplit_once('月')?;
        let month = number_before(before)?;
        let year =
            before.rsplit_once('年').filter(|(_, behind)| behind.len() <= 2).and_then(|(year, _)| number_before(year));
        let date = with_year(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?, written)?;
        is_end.then_some(date)
    });
    dates.max()
}

/// Addresses of those who stand in: in a sentence that asks to turn to somebody, and neither the author's own nor ours.
pub(super) fn covering(evidence: &Evidence<'_>) -> Vec<String> {
    let text = cut(evidence.text);
    let mut found: Vec<String> = Vec::new();
    let mut is_asked = 0_usize;
    for line in text.lines() {
        let lower = line.to_lowercase();
        let asks = TURN_TO.iter().any(|word| lower.contains(word));
        // The address may stand in one of the next lines.
        is_asked = if asks { 3 } else { is_asked.saturating_sub(1) };
        for (_, address) in addresses(line) {
            let address = address.to_ascii_lowercase();
            let is_own = address == evidence.author || evidence.recipients.contains(&address);
            if is_asked > 0 && !is_own && !found.contains(&address) && found.len() < COVERING {
                found.push(address);
            }
        }
    }
    found
}

/// Words by which an absence note turns people to somebody else, lower case.
const TURN_TO: &[&str] = &[
    "contact",
    "reach out",
    "please write",
    "please email",
    "please e-mail",
    "urgent",
    "in my absence",
    "assist",
    "colleague",
    "wenden",
    "vertretung",
    "vertreten",
    "kontakt",
    "dringend",
    "ansprechpartner",
    "contacter",
    "adresser",
    "urgence",
    "contactez",
    "contactar",
    "contacte",
    "escriba",
    "urgente",
    "urgencia",
    "dirigirse",
    "póngase en contacto",
    "contattare",
    "rivolgersi",
    "urgenze",
    "scrivere a",
    "contatar",
    "contate",
    "contato",
    "urgências",
    "dirigir",
    "neem contact",
    "contact op",
    "dringende",
    "spoed",
    "skontakt",
    "pilnych",
    "proszę o kontakt",
    "zastępuje",
    "kontakta",
    "brådskande",
    "ärenden",
    "vänd dig",
    "連絡",
    "お問い合わせ",
    "代わりに",
    "担当",
];
