//! Dates that a text names plainly, relative to the moment when it was written.
//!
//! Only what has one reading is read: `12/04/2026` names two days and is left alone, so is "next Tuesday". A date is
//! taken as the end of that day in UTC, since the writer's time zone is not known here.

use jiff::civil::{Date, Weekday};
use regex::Regex;

use super::DataError;
use crate::clock::Timestamp;

/// Compiled date forms.
#[derive(Debug)]
pub(super) struct Dates {
    deadline: Regex,
}

/// Words that make a date a deadline, in the seven languages, over folded text.
const DEADLINE: &str = concat!(
    r"\b(?:by|before|until|till|due(?: on| by)?|no later than|not later than|deadline(?: is)?",
    r"|bis(?: zum| spatestens| zu)?|spatestens(?: am| bis)?|avant(?: le)?|d'ici(?: le| au)?|jusqu'au|au plus tard le",
    r"|antes del?|hasta el|a mas tardar el|entro(?: il)?|prima del|fino al|ate(?: o dia| a)?|antes de|voor|uiterlijk|tot)",
    r"(?: the| le| el| il| den| dem| op| on)?",
);

/// What may follow those words.
const FORMS: &str = concat!(
    r"(?P<dotted>\d{1,2}\.\d{1,2}\.20\d\d)|(?P<slashed>\d{1,2}/\d{1,2}/20\d\d)",
    r"|(?P<day_month>\d{1,2}(?:st|nd|rd|th|er|\.)?(?: of| de| di)? [a-z]{3,10}(?:(?: de)? 20\d\d)?)",
    r"|(?P<month_day>[a-z]{3,9} \d{1,2}(?:st|nd|rd|th)?(?:,? 20\d\d)?)",
    r"|(?P<word>[a-z']{4,12})",
);

impl Dates {
    pub(super) fn new() -> Result<Self, DataError> {
        let pattern = format!(r"{DEADLINE} +(?:(?P<iso>20\d\d-\d\d-\d\d|20\d\d \d\d \d\d)|{FORMS})\b");
        let deadline =
            Regex::new(&pattern).map_err(|error| DataError::Pattern("deadline".to_owned(), Box::new(error)))?;
        Ok(Self { deadline })
    }

    /// The first deadline that the folded text names, if it is not in the past.
    pub(super) fn due(&self, folded: &str, written: Timestamp) -> Option<Timestamp> {
        let today = date_of(written)?;
        self.deadline.captures_iter(folded).take(MAX_DATES).find_map(|found| {
            let part = |name| found.name(name).map(|group| group.as_str());
            let date = part("iso")
                .and_then(iso)
                .or_else(|| part("dotted").and_then(|text| numbers(text, '.', Order::DayFirst)))
                .or_else(|| part("slashed").and_then(|text| numbers(text, '/', Order::Unknown)))
                .or_else(|| part("day_month").and_then(|text| named(text, today)))
                .or_else(|| part("month_day").and_then(|text| named(text, today)))
                .or_else(|| part("word").and_then(|word| relative(word, today)))?;
            (date >= today).then(|| end_of_day(date)).flatten()
        })
    }
}

/// More dates than this are not looked at.
const MAX_DATES: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    DayFirst,
    Unknown,
}

fn date_of(time: Timestamp) -> Option<Date> {
    let time = jiff::Timestamp::from_microsecond(time.as_micros()).ok()?;
    Some(jiff::tz::TimeZone::UTC.to_datetime(time).date())
}

fn end_of_day(date: Date) -> Option<Timestamp> {
    let end = jiff::tz::TimeZone::UTC.to_timestamp(date.at(23, 59, 59, 0)).ok()?;
    Some(Timestamp::from_micros(end.as_microsecond()))
}

fn iso(text: &str) -> Option<Date> {
    text.replace(' ', "-").parse().ok()
}

fn numbers(text: &str, separator: char, order: Order) -> Option<Date> {
    let mut parts = text.split(separator).map(str::parse::<i16>);
    let (first, second, year) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    let (day, month) = match order {
        Order::DayFirst => (first, second),
        // Only one reading is a date at all, or both are the same day.
        Order::Unknown if first > 12 || first == second => (first, second),
        Order::Unknown if second > 12 => (second, first),
        Order::Unknown => return None,
    };
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// `4 december 2026`, `december 4th`, `4. dezember`: without a year, the next such day.
fn named(text: &str, today: Date) -> Option<Date> {
    let mut day = None;
    let mut month = None;
    let mut year = None;
    for word in text.split([' ', ',', '.']).filter(|word| !word.is_empty()) {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        match digits.parse::<i16>() {
            Ok(number) if number >= 2000 => year = Some(number),
            Ok(number) => day = i8::try_from(number).ok(),
            Err(_) => month = month.or_else(|| month_of(word)),
        }
    }
    let (day, month) = (day?, month?);
    if let Some(year) = year {
        return Date::new(year, month, day).ok();
    }
    let this_year = Date::new(today.year(), month, day).ok()?;
    if this_year >= today { Some(this_year) } else { Date::new(today.year() + 1, month, day).ok() }
}

fn month_of(word: &str) -> Option<i8> {
    let word = word.get(..word.len().min(9))?;
    let index = MONTHS.iter().position(|names| {
        names.split(' ').any(|name| name == word || (word.len() >= 3 && name.len() > 4 && name.get(..3) == Some(word)))
    })?;
    i8::try_from(index + 1).ok()
}

fn relative(word: &str, today: Date) -> Option<Date> {
    if TODAY.contains(&word) {
        return Some(today);
    }
    if TOMORROW.contains(&word) {
        return today.tomorrow().ok();
    }
    let index = WEEKDAYS.iter().position(|names| names.split(' ').any(|name| name == word))?;
    let weekday = Weekday::from_monday_zero_offset(i8::try_from(index).ok()?).ok()?;
    // On a Friday, "by Friday" may mean today or in a week: not certain.
    if weekday == today.weekday() { None } else { today.nth_weekday(1, weekday).ok() }
}

/// Folded names of the months, January first, in the seven languages.
const MONTHS: [&str; 12] = [
    "january januar janvier enero gennaio janeiro januari jan",
    "february februar fevrier febrero febbraio fevereiro februari feb",
    "march marz mars marzo marco maart mar",
    "april avril abril aprile apr",
    "may mai mayo maggio maio mei",
    "june juni juin junio giugno junho jun",
    "july juli juillet julio luglio julho jul",
    "august aout agosto augustus aug",
    "september septembre septiembre settembre setembro sept sep",
    "october oktober octobre octubre ottobre outubro oct okt",
    "november novembre noviembre novembro nov",
    "december dezember decembre diciembre dicembre dezembro dec dez",
];

/// Folded names of the weekdays, Monday first.
const WEEKDAYS: [&str; 7] = [
    "monday montag lundi lunes lunedi maandag",
    "tuesday dienstag mardi martes martedi dinsdag",
    "wednesday mittwoch mercredi miercoles mercoledi woensdag",
    "thursday donnerstag jeudi jueves giovedi donderdag",
    "friday freitag vendredi viernes venerdi vrijdag",
    "saturday samstag samedi sabado sabato zaterdag",
    "sunday sonntag dimanche domingo domenica zondag",
];

const TODAY: [&str; 7] = ["today", "tonight", "heute", "aujourd'hui", "oggi", "hoje", "vandaag"];
const TOMORROW: [&str; 6] = ["tomorrow", "morgen", "demain", "manana", "domani", "amanha"];

#[cfg(test)]
mod tests {
    use super::*;

    /// Read on Monday 23 November 2026.
    fn due(text: &str) -> Option<String> {
        let written = Timestamp::parse_rfc3339("2026-11-23T10:00:00Z").unwrap();
        Dates::new().unwrap().due(text, written).map(|time| time.to_string()[..10].to_owned())
    }

    #[test]
    fn plain_deadlines_are_read() {
        for (text, day) in [
            ("please send it by friday", "2026-11-27"),
            ("we need it by tomorrow", "2026-11-24"),
            ("no later than 2026-12-04 please", "2026-12-04"),
            ("sign before december 4th", "2026-12-04"),
            ("due on 4 december 2026", "2026-12-04"),
            ("payable by 3 january", "2027-01-03"),
            ("bitte bis zum 04.12.2026 zahlen", "2026-12-04"),
            ("bis freitag", "2026-11-27"),
            ("avant le 4 decembre", "2026-12-04"),
            ("before 11/30/2026", "2026-11-30"),
        ] {
            assert_eq!(due(text).as_deref(), Some(day), "{text}");
        }
    }

    #[test]
    fn a_date_with_two_readings_or_in_the_past_is_no_deadline() {
        for text in [
            "by 12/04/2026",
            "by monday",
            "by 1 november 2026",
            "friday was nice",
            "by next friday",
            "by hand",
            "by 40 december",
        ] {
            assert_eq!(due(text), None, "{text}");
        }
    }
}
