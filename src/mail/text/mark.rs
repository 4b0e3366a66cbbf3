//! The lines by which mail programs mark quoted history and signatures, in the languages of the signals.
//!
//! Each test looks at a bounded number of lines and at the first octets of each.

/// How history is introduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Introduction {
    /// By this many lines ("On …, … wrote:"), with marked lines behind them.
    Lines(usize),
    /// By a header block or rule; everything from here on is history.
    Rest,
}

/// Octets of a line that are looked at.
const WIDTH: usize = 400;

/// Ends of "On …, … wrote:" in the languages of the signals.
const WROTE: [&str; 14] = [
    "wrote:",
    "schrieb:",
    "geschrieben:",
    "a écrit :",
    "a écrit:",
    "a écrit\u{a0}:",
    "escribió:",
    "ha scritto:",
    "scrisse:",
    "escreveu:",
    "schreef:",
    "schreef het volgende:",
    "skrev:",
    "napisał:",
];

/// Beginnings of such a line; the line may be broken before it ends.
const ON: [&str; 13] = ["on ", "am ", "le ", "el ", "il ", "em ", "op ", "den ", "på ", "w dniu ", "a ", "2", "в "];

/// Rules and titles in front of history.
const TITLES: [&str; 22] = [
    "original message",
    "ursprüngliche nachricht",
    "originalnachricht",
    "weitergeleitete nachricht",
    "message d'origine",
    "message original",
    "message transféré",
    "mensaje original",
    "mensaje reenviado",
    "messaggio originale",
    "messaggio inoltrato",
    "mensagem original",
    "mensagem encaminhada",
    "oorspronkelijk bericht",
    "doorgestuurd bericht",
    "forwarded message",
    "original appointment",
    "reply message",
    "original-nachricht",
    "ursprungligt meddelande",
    "oprindelig meddelelse",
    "begin forwarded message:",
];

/// Labels of a quoted header block: who, and the three that may follow.
const FROM: [&str; 6] = ["from:", "von:", "de:", "da:", "van:", "from :"];
const OTHERS: [&str; 24] = [
    "sent:",
    "date:",
    "to:",
    "subject:",
    "cc:",
    "gesendet:",
    "datum:",
    "an:",
    "betreff:",
    "envoyé :",
    "envoyé:",
    "à :",
    "à:",
    "objet :",
    "objet:",
    "enviado:",
    "enviado el:",
    "para:",
    "asunto:",
    "inviato:",
    "a:",
    "oggetto:",
    "assunto:",
    "verzonden:",
];

/// Lines that mobile programs put under a text.
const SENT_FROM: [&str; 11] = [
    "sent from my ",
    "sent from mail for ",
    "get outlook for ",
    "von meinem ",
    "gesendet von ",
    "envoyé de mon ",
    "envoyé depuis ",
    "enviado desde mi ",
    "inviato da ",
    "enviado do meu ",
    "verzonden vanaf ",
];

fn head(line: &str) -> String {
    line.trim().chars().take(WIDTH).collect::<String>().to_lowercase().replace(['*', '_'], "")
}

/// Whether the line is marked as quoted.
pub(super) fn is_quoted(line: &str) -> bool {
    line.trim_start().starts_with('>')
}

/// Whether the line is the signature delimiter (RFC 3676 §4.3), also as programs mangle it.
pub(super) fn is_delimiter(line: &str) -> bool {
    matches!(line, "-- " | "--" | "— " | "--\u{a0}")
}

/// Whether a signature begins here.
pub(super) fn is_signature_start(line: &str) -> bool {
    is_delimiter(line) || {
        let head = head(line);
        head.len() < 80 && SENT_FROM.iter().any(|start| head.starts_with(start))
    }
}

/// Whether the line looks like the first of an introduction.
pub(super) fn starts_history(line: &str) -> bool {
    introduction(&[line]).is_some() || FROM.iter().any(|label| head(line).starts_with(label))
}

/// The introduction of history that begins with the first of these lines.
pub(super) fn introduction(here: &[&str]) -> Option<Introduction> {
    let first = head(here.first()?);
    if first.is_empty() {
        return None;
    }
    let title = first.trim_matches(['-', ' ', '=']);
    if TITLES.contains(&title) && (first.starts_with('-') || title.ends_with(':')) {
        return Some(Introduction::Rest);
    }
    if FROM.iter().any(|label| first.starts_with(label)) && has_header_block(here) {
        return Some(Introduction::Rest);
    }
    wrote(here, &first)
}

/// Whether at least two other labels follow a `From:` line.
fn has_header_block(here: &[&str]) -> bool {
    let follow = here.iter().skip(1).take(6).map(|line| head(line));
    follow.filter(|line| OTHERS.iter().any(|label| line.starts_with(label))).count() >= 2
}

/// "On …, … wrote:", over at most three lines, with a date or address in it.
fn wrote(here: &[&str], first: &str) -> Option<Introduction> {
    if !ON.iter().any(|start| first.starts_with(start)) {
        return None;
    }
    let mut whole = String::new();
    for (count, line) in here.iter().take(3).enumerate() {
        if is_quoted(line) || (count > 0 && line.trim().is_empty()) {
            return None;
        }
        whole.push_str(&head(line));
        whole.push(' ');
        if WROTE.iter().any(|end| whole.trim_end().ends_with(end)) {
            let is_attribution = whole.contains('@') || whole.contains(|letter: char| letter.is_ascii_digit());
            return is_attribution.then(|| what_follows(here, count + 1));
        }
    }
    None
}

/// Marked lines behind the introduction are taken one by one; without a mark everything behind it is history.
fn what_follows(here: &[&str], count: usize) -> Introduction {
    let next = here.iter().skip(count).take(4).find(|line| !line.trim().is_empty());
    match next {
        Some(line) if is_quoted(line) => Introduction::Lines(count),
        _ => Introduction::Rest,
    }
}
