//! Invitations and their answers: what a text/calendar part says, as data.
//!
//! One pass over the content lines under limits. Nothing is expanded: no recurrence, no time zone. A time is told as it
//! is written, in UTC where it is, else local with the name of its zone.
//!
//! Standards: RFC 5545 §3.1 (content lines), §3.3 (values), §3.6.1 (events), §3.8 (properties); RFC 5546 §1.4 (methods);
//! RFC 6047 §2.4 (the part's method).

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Time};
use serde::{Deserialize, Serialize};

/// What a calendar part says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Calendar {
    /// What is asked or answered, in upper case: `REQUEST`, `REPLY`, `CANCEL`, …; null where nothing is.
    pub method: Option<String>,
    /// The events, at most 32.
    pub entries: Vec<CalendarEntry>,
}

/// An event of a calendar.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalendarEntry {
    /// By what its versions and answers are known.
    pub uid: Option<String>,
    /// Version of the invitation, from 0.
    pub sequence: u32,
    /// Which one of a series is meant; null for the whole, or none.
    pub recurrence: Option<CalendarTime>,
    /// How it recurs, as it is written (RFC 5545 §3.3.10); null when it does not.
    pub rule: Option<String>,
    /// `CONFIRMED`, `TENTATIVE` or `CANCELLED`; null where it is not said.
    pub status: Option<String>,
    /// Title.
    pub summary: String,
    /// Place.
    pub location: String,
    /// Beginning.
    pub start: Option<CalendarTime>,
    /// End, the first moment after it; worked out from the duration where that is written.
    pub end: Option<CalendarTime>,
    /// Who invites.
    pub organizer: Option<CalendarParticipant>,
    /// Who is invited or answers, at most 500.
    pub attendees: Vec<CalendarParticipant>,
}

/// A time as a calendar writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalendarTime {
    /// `2026-03-12T10:00:00Z` in UTC, `2026-03-12T10:00:00` local, `2026-03-12` for a whole day.
    pub time: String,
    /// Name of the zone that a local time is of; null in UTC, for a day, and where it floats.
    pub zone: Option<String>,
}

/// A person or room of a calendar event.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CalendarParticipant {
    /// Mail address, or the URI as it is written.
    pub address: String,
    /// Name; null when there is none.
    pub name: Option<String>,
    /// What was answered, in upper case: `NEEDS-ACTION`, `ACCEPTED`, `DECLINED`, `TENTATIVE`, `DELEGATED`; null where it
    /// is not said.
    pub partstat: Option<String>,
    /// `CHAIR`, `REQ-PARTICIPANT`, `OPT-PARTICIPANT`, `NON-PARTICIPANT`; null where it is not said.
    pub role: Option<String>,
    /// Whether an answer is asked for.
    pub rsvp: bool,
}

/// Octets of a calendar part that are read.
pub(super) const CALENDAR: usize = 512 * 1024;
/// Content lines.
const LINES: usize = 20_000;
/// Events of a part.
const ENTRIES: usize = 32;
/// Attendees of an event.
const ATTENDEES: usize = 500;
/// Octets of a value that are kept.
const VALUE: usize = 2 * 1024;
/// Levels of components.
const LEVELS: usize = 8;

/// Reads a calendar; `method` is that of the part's media type.
pub(super) fn read(text: &str, method: &str) -> Calendar {
    let mut calendar = Calendar { method: word(method), entries: Vec::new() };
    let mut levels: Vec<String> = Vec::new();
    let mut duration = None;
    for line in unfolded(text).take(LINES) {
        let Some(property) = Property::parse(&line) else { continue };
        match property.name.as_str() {
            "BEGIN" => {
                levels.push(property.value.trim().to_ascii_uppercase());
                if levels.len() > LEVELS {
                    break;
                }
                if levels.last().is_some_and(|name| name == "VEVENT") {
                    if calendar.entries.len() >= ENTRIES {
                        break;
                    }
                    calendar.entries.push(CalendarEntry::default());
                    duration = None;
                }
            }
            "END" => {
                if levels.pop().is_some_and(|name| name == "VEVENT")
                    && let Some(entry) = calendar.entries.last_mut()
                {
                    entry.end = entry.end.take().or_else(|| entry.start.as_ref()?.after(duration?));
                }
            }
            "METHOD" if levels.len() == 1 => calendar.method = word(property.value).or(calendar.method),
            "DURATION" if levels.last().is_some_and(|name| name == "VEVENT") => duration = span(property.value),
            _ if levels.last().is_some_and(|name| name == "VEVENT") => {
                if let Some(entry) = calendar.entries.last_mut() {
                    entry.take(&property);
                }
            }
            _ => {}
        }
    }
    calendar
}

impl CalendarEntry {
    fn take(&mut self, property: &Property<'_>) {
        let text = || Some(unescaped(property.value)).filter(|text| !text.is_empty());
        match property.name.as_str() {
            "UID" => self.uid = text(),
            "SEQUENCE" => self.sequence = property.value.trim().parse().unwrap_or(0),
            "RECURRENCE-ID" => self.recurrence = property.time(),
            "RRULE" => self.rule = text(),
            "STATUS" => self.status = word(property.value),
            "SUMMARY" => self.summary = text().unwrap_or_default(),
            "LOCATION" => self.location = text().unwrap_or_default(),
            "DTSTART" => self.start = property.time(),
            "DTEND" => self.end = property.time(),
            "ORGANIZER" => self.organizer = Some(property.participant()),
            "ATTENDEE" if self.attendees.len() < ATTENDEES => self.attendees.push(property.participant()),
            _ => {}
        }
    }
}

impl CalendarTime {
    /// The time after this one; of a day only whole days count.
    fn after(&self, duration: SignedDuration) -> Option<Self> {
        let time = match self.time.parse::<Date>() {
            Ok(day) if self.time.len() == 10 => day.checked_add(duration).ok()?.to_string(),
            _ => {
                let is_utc = self.time.ends_with('Z');
                let time: DateTime = self.time.trim_end_matches('Z').parse().ok()?;
                format!("{}{}", time.checked_add(duration).ok()?, if is_utc { "Z" } else { "" })
            }
        };
        Some(Self { time, zone: self.zone.clone() })
    }
}

/// One content line.
struct Property<'a> {
    name: String,
    parameters: Vec<(String, &'a str)>,
    value: &'a str,
}

impl<'a> Property<'a> {
    /// RFC 5545 §3.1: `NAME;PARAMETER="quoted: value":value`.
    fn parse(line: &'a str) -> Option<Self> {
        let mut is_quoted = false;
        let mut cuts = Vec::new();
        let mut colon = None;
        for (at, letter) in line.char_indices() {
            match letter {
                '"' => is_quoted = !is_quoted,
                ';' if !is_quoted => cuts.push(at),
                ':' if !is_quoted => {
                    colon = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let colon = colon?;
        let name_end = cuts.first().copied().unwrap_or(colon);
        let name = line.get(..name_end)?.trim().to_ascii_uppercase();
        let ends = cuts.iter().skip(1).copied().chain([colon]);
        let parameters = cuts.iter().zip(ends).filter_map(|(start, end)| {
            let (key, value) = line.get(start + 1..end)?.split_once('=')?;
            Some((key.trim().to_ascii_uppercase(), value.trim().trim_matches('"')))
        });
        Some(Self { name, parameters: parameters.take(32).collect(), value: line.get(colon + 1..)? })
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| *value).filter(|value| !value.is_empty())
    }

    /// RFC 5545 §3.3.4, §3.3.5: `20260312`, `20260312T100000`, `20260312T090000Z`.
    fn time(&self) -> Option<CalendarTime> {
        let value = self.value.trim();
        let is_utc = value.ends_with(['Z', 'z']);
        let plain = value.trim_end_matches(['Z', 'z']);
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (day, clock) = plain.split_once(['T', 't']).map_or((plain, None), |(day, clock)| (day, Some(clock)));
        if day.len() != 8 || !is_digits(day) {
            return None;
        }
        let day: Date = format!("{}-{}-{}", day.get(..4)?, day.get(4..6)?, day.get(6..)?).parse().ok()?;
        let Some(clock) = clock else { return Some(CalendarTime { time: day.to_string(), zone: None }) };
        if clock.len() != 6 || !is_digits(clock) {
            return None;
        }
        let number = |from: usize| clock.get(from..from + 2).and_then(|two| two.parse::<i8>().ok());
        // A leap second has no place on the time line.
        let time = day.to_datetime(Time::new(number(0)?, number(2)?, number(4)?.min(59), 0).ok()?);
        let zone = self.parameter("TZID").filter(|_| !is_utc).map(bounded);
        Some(CalendarTime { time: format!("{time}{}", if is_utc { "Z" } else { "" }), zone })
    }

    fn participant(&self) -> CalendarParticipant {
        let uri = self.value.trim();
        let is_mail = uri.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("mailto:"));
        let address = if is_mail { uri.get(7..).unwrap_or_default() } else { uri };
        let address = self.parameter("EMAIL").filter(|_| !is_mail).unwrap_or(address);
        CalendarParticipant {
            address: bounded(address),
            name: self.parameter("CN").map(bounded),
            partstat: self.parameter("PARTSTAT").and_then(word),
            role: self.parameter("ROLE").and_then(word),
            rsvp: self.parameter("RSVP").is_some_and(|value| value.eq_ignore_ascii_case("true")),
        }
    }
}

/// Content lines without their folds.
fn unfolded(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut lines = text.lines().peekable();
    std::iter::from_fn(move || {
        let mut whole = lines.next()?.trim_end_matches('\r').to_owned();
        while let Some(rest) = lines.peek().and_then(|line| line.strip_prefix([' ', '\t'])) {
            whole.push_str(rest.trim_end_matches('\r'));
            lines.next();
        }
        Some(whole)
    })
}

/// A value of at most [`VALUE`] octets, without control characters.
fn bounded(value: &str) -> String {
    let value = value.get(..value.floor_char_boundary(VALUE)).unwrap_or_default();
    value.chars().filter(|letter| !letter.is_control()).collect::<String>().trim().to_owned()
}

/// A word in upper case; `None` where there is none.
fn word(value: &str) -> Option<String> {
    let word: String = value.trim().chars().take_while(|letter| letter.is_ascii_graphic()).take(64).collect();
    (!word.is_empty()).then(|| word.to_ascii_uppercase())
}

/// RFC 5545 §3.3.11: `\n`, `\,`, `\;` and `\\`.
fn unescaped(value: &str) -> String {
    let value = value.get(..value.floor_char_boundary(VALUE)).unwrap_or_default();
    let (mut text, mut letters) = (String::with_capacity(value.len()), value.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('n' | 'N') => text.push('\n'),
                Some(letter) => text.push(letter),
                None => {}
            },
            letter if letter.is_control() && letter != '\t' => {}
            letter => text.push(letter),
        }
    }
    text.trim().to_owned()
}

/// RFC 5545 §3.3.6: `P7W`, `P1DT2H`, `PT1H30M`; a negative one is none.
fn span(value: &str) -> Option<SignedDuration> {
    let value = value.trim().trim_start_matches('+').strip_prefix('P')?;
    let (mut seconds, mut number, mut is_time) = (0_i64, None::<i64>, false);
    for letter in value.chars() {
        if let Some(digit) = letter.to_digit(10) {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(i64::from(digit))?);
            continue;
        }
        let unit = match letter {
            'T' => {
                is_time = true;
                continue;
            }
            'W' => 7 * 86_400,
            'D' => 86_400,
            'H' => 3_600,
            'M' if is_time => 60,
            'S' => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    number.is_none().then(|| SignedDuration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INVITATION: &str = "BEGIN:VCALENDAR\r\nMETHOD:request\r\nBEGIN:VEVENT\r\nUID:1@x\r\nDTSTART;VALUE=DATE:20260312\r\n\
        DURATION:P2D\r\nORGANIZER;CN=\"Lee: Ann\":MAILTO:a@x.example\r\nATTENDEE;PARTSTAT=declined;CN=Bo\r\n  Hill:mailto:b@x.example\r\n\
        SUMMARY:a\\, b\\nc\r\nBEGIN:VALARM\r\nSUMMARY:no\r\nEND:VALARM\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";

    #[test]
    fn an_invitation_is_read_and_its_alarm_is_not() {
        let calendar = read(INVITATION, "");
        assert_eq!(calendar.method.as_deref(), Some("REQUEST"));
        let [entry] = &calendar.entries[..] else { panic!("{calendar:?}") };
        assert_eq!((entry.uid.as_deref(), entry.summary.as_str()), (Some("1@x"), "a, b\nc"));
        assert_eq!(entry.start.as_ref().unwrap().time, "2026-03-12");
        assert_eq!(entry.end.as_ref().unwrap().time, "2026-03-14");
        assert_eq!(entry.organizer.as_ref().unwrap().name.as_deref(), Some("Lee: Ann"));
        let [attendee] = &entry.attendees[..] else { panic!("{entry:?}") };
        assert_eq!((attendee.address.as_str(), attendee.name.as_deref()), ("b@x.example", Some("Bo Hill")));
        assert_eq!(attendee.partstat.as_deref(), Some("DECLINED"));
    }

    #[test]
    fn a_time_is_told_as_it_is_written() {
        let time = |line: &str| Property::parse(line).unwrap().time().map(|time| (time.time, time.zone));
        assert_eq!(time("DTSTART:20260312T090000Z"), Some(("2026-03-12T09:00:00Z".to_owned(), None)));
        assert_eq!(
            time("DTSTART;TZID=\"W. Europe\":20260312T100000"),
            Some(("2026-03-12T10:00:00".to_owned(), Some("W. Europe".to_owned())))
        );
        for wrong in
            ["DTSTART:", "DTSTART:20261399", "DTSTART:20260312T1", "DTSTART:20260312T999999", "DTSTART:2026-03-12"]
        {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_hostile_calendar_is_bounded() {
        let many = format!("BEGIN:VCALENDAR\n{}", "BEGIN:VEVENT\nUID:1\nEND:VEVENT\n".repeat(1_000));
        assert_eq!(read(&many, "").entries.len(), ENTRIES);
        let crowd = format!("BEGIN:VEVENT\n{}", "ATTENDEE:mailto:a@x\n".repeat(10_000));
        assert_eq!(read(&crowd, "").entries[0].attendees.len(), ATTENDEES);
        assert!(read(&"BEGIN:VEVENT\n".repeat(100_000), "").entries.len() <= ENTRIES);
        read(&format!("BEGIN:VEVENT\nUID:{}", " x\n".repeat(100_000)), "");
    }

    proptest! {
        #[test]
        fn any_text_and_any_prefix_of_a_calendar_is_read(text: String, end in 0usize..400) {
            read(&text, &text);
            read(INVITATION.get(..end.min(INVITATION.len())).unwrap_or_default(), "");
        }

        #[test]
        fn any_time_and_duration_is_read(time in "[0-9TZ]{0,16}", duration in "P?[0-9]{0,20}[WDTHMS]{0,3}[0-9]{0,3}[HMS]?") {
            read(&format!("BEGIN:VEVENT\nDTSTART:{time}\nDURATION:{duration}\nEND:VEVENT"), "");
        }
    }
}
