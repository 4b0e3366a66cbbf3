//! What the attributes of an element say: history or signature as the well-known mail programs mark them, hidden content.

use std::borrow::Cow;

use crate::mail::text::Part;

/// What is known of an element by its attributes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Meaning {
    /// History or signature of a known mail program.
    pub(super) mark: Option<Part>,
    /// Whether history goes on to the end of the document.
    pub(super) is_to_the_end: bool,
    /// Whether a quoted header block may begin here (Outlook's line above it); its text decides.
    pub(super) may_begin_header: bool,
    /// Whether a reader does not see it.
    pub(super) is_hidden: bool,
    /// Target of a link.
    pub(super) href: Option<String>,
    /// Whether it is a table with lines.
    pub(super) has_border: bool,
}

/// Octets of an attribute's value that are looked at.
const VALUE: usize = 4 * 1024;

/// Beginnings of class names by which programs mark history: Gmail, Yahoo, Thunderbird, Proton Mail, Zoho, Tuta, Outlook
/// for phones, Superhuman, Freshdesk, Mail.ru, Front, Roundcube.
const QUOTE_CLASSES: [&str; 14] = [
    "gmail_quote",
    "gmail_attr",
    "yahoo_quoted",
    "moz-cite-prefix",
    "protonmail_quote",
    "zmail_extra",
    "tutanota_quote",
    "ms-outlook-mobile-reference-message",
    "mail-editor-reference-message-container",
    "sh-quoted-content",
    "freshdesk_quote",
    "mail-quote-collapse",
    "front-blockquote",
    "mailru-blockquote",
];

/// The same for signatures: Gmail, Thunderbird, Outlook for phones, Proton Mail, Yahoo, Superhuman, Spark.
const SIGNATURE_CLASSES: [&str; 7] = [
    "gmail_signature",
    "moz-signature",
    "ms-outlook-mobile-signature",
    "protonmail_signature_block",
    "yahoo-signature",
    "sh-signature",
    "bloop_sign",
];

/// Identifiers of history that ends with its element: Yahoo, Outlook for the Mac, Roundcube, new Outlook.
const QUOTE_IDS: [&str; 4] =
    ["yahoo_quoted", "olk_src_body_section", "reply-intro", "mail-editor-reference-message-container"];

/// Identifiers of signatures: Outlook on the web and phones, Apple.
const SIGNATURE_IDS: [&str; 4] =
    ["signature", "ms-outlook-mobile-signature", "applemailsignature", "divtagdefaultsignature"];

/// Identifiers from which on everything is history: Outlook on the web and Hotmail.
const REST_IDS: [&str; 3] = ["divrplyfwdmsg", "stopspelling", "replysplit"];

/// Names of elements that GMX and Spark mark history with.
const QUOTE_NAMES: [&str; 2] = ["quote", "messagereplysection"];

/// Reads the inside of a start tag behind its name.
pub(super) fn read(name: &str, inside: &str) -> Meaning {
    let mut meaning = Meaning::default();
    for (attribute, value) in attributes(inside) {
        match attribute.as_str() {
            "class" => meaning.mark = meaning.mark.or_else(|| class(&value.to_ascii_lowercase())),
            "id" => id(&value.to_ascii_lowercase(), &mut meaning),
            "name" if name == "div" && QUOTE_NAMES.contains(&value.to_ascii_lowercase().as_str()) => {
                meaning.mark = Some(Part::Quoted);
            }
            "type" if name == "blockquote" && value.eq_ignore_ascii_case("cite") => meaning.mark = Some(Part::Quoted),
            "data-smartmail" if value == "gmail_signature" => meaning.mark = Some(Part::Signature),
            "style" => style(&value, &mut meaning),
            "hidden" => meaning.is_hidden = true,
            "href" if name == "a" => meaning.href = Some(value.into_owned()),
            "border" => meaning.has_border = value.trim().parse().is_ok_and(|width: u32| width > 0),
            _ => {}
        }
    }
    meaning
}

fn class(value: &str) -> Option<Part> {
    value.split_ascii_whitespace().find_map(|word| {
        let word = foreign(word);
        if SIGNATURE_CLASSES.iter().any(|class| word.starts_with(class)) {
            return Some(Part::Signature);
        }
        QUOTE_CLASSES.iter().any(|class| word.starts_with(class)).then_some(Part::Quoted)
    })
}

fn id(value: &str, meaning: &mut Meaning) {
    let value = foreign(value);
    if QUOTE_IDS.iter().any(|id| value.starts_with(id)) {
        meaning.mark = Some(Part::Quoted);
    } else if SIGNATURE_IDS.contains(&value) {
        meaning.mark = Some(Part::Signature);
    } else if REST_IDS.contains(&value) {
        meaning.mark = Some(Part::Quoted);
        meaning.is_to_the_end = true;
    }
}

/// Outlook on the web puts `x_` in front of the names in what it quotes, once for each time.
fn foreign(mut name: &str) -> &str {
    while let Some(rest) = name.strip_prefix("x_") {
        name = rest;
    }
    name
}

/// What of a style decides whether a reader sees the element.
fn style(value: &str, meaning: &mut Meaning) {
    let (mut has_no_size, mut is_clipped, mut has_no_border, mut has_top) = (false, false, false, false);
    for declaration in value.split(';') {
        let Some((property, value)) = declaration.split_once(':') else { continue };
        let (property, value) = (property.trim().to_ascii_lowercase(), value.trim().to_ascii_lowercase());
        let value = value.trim_end_matches("!important").trim_end();
        match property.as_str() {
            "display" => meaning.is_hidden |= value == "none",
            "visibility" => meaning.is_hidden |= matches!(value, "hidden" | "collapse"),
            "opacity" | "font-size" => meaning.is_hidden |= is_zero(value),
            "max-height" | "height" | "max-width" | "width" => has_no_size |= is_zero(value),
            "overflow" => is_clipped = value == "hidden",
            "border" => has_no_border = value == "none",
            "border-top" => has_top = value.starts_with("solid") || value.contains(" solid"),
            _ => {}
        }
    }
    meaning.is_hidden |= has_no_size && is_clipped;
    meaning.may_begin_header |= has_no_border && has_top;
}

/// Whether a length or share is nothing.
fn is_zero(value: &str) -> bool {
    let number = value.trim_end_matches(|letter: char| letter.is_ascii_alphabetic() || letter == '%');
    number.trim().parse::<f32>().is_ok_and(|number| number == 0.0)
}

/// Names in lower case, and values with their references decoded.
fn attributes(inside: &str) -> impl Iterator<Item = (String, Cow<'_, str>)> {
    let mut rest = inside;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|letter: char| letter.is_ascii_whitespace() || letter == '/');
        let end = rest.find(|letter: char| letter == '=' || letter.is_ascii_whitespace()).unwrap_or(rest.len());
        let name = rest.get(..end.min(32)).unwrap_or_default().to_ascii_lowercase();
        rest = rest.get(end..).unwrap_or_default().trim_start();
        let Some(value) = rest.strip_prefix('=') else {
            return (!name.is_empty()).then_some((name, Cow::Borrowed("")));
        };
        let value = value.trim_start();
        let quote = value.chars().next().filter(|letter| matches!(letter, '"' | '\''));
        let value = quote.map_or(value, |_| value.get(1..).unwrap_or_default());
        let end = value.find(|letter: char| quote.map_or(letter.is_ascii_whitespace(), |quote| letter == quote));
        let end = end.unwrap_or(value.len());
        rest = value.get(end..).unwrap_or_default();
        rest = quote.and_then(|quote| rest.strip_prefix(quote)).unwrap_or(rest);
        let value = value.get(..end.min(value.floor_char_boundary(VALUE))).unwrap_or_default();
        Some((name, decoded(value)))
    })
}

/// The value with `&amp;`, which is the reference that stands in addresses, read as what it means.
fn decoded(value: &str) -> Cow<'_, str> {
    if value.contains("&amp;") { Cow::Owned(value.replace("&amp;", "&")) } else { Cow::Borrowed(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_mail_programs_are_known_also_with_foreign_prefixes() {
        let mark = |name, inside| read(name, inside).mark;
        assert_eq!(mark("div", " dir=ltr class='gmail_quote gmail_quote_container'"), Some(Part::Quoted));
        assert_eq!(mark("div", " class=\"x_x_gmail_signature\""), Some(Part::Signature));
        assert_eq!(mark("blockquote", " TYPE=cite"), Some(Part::Quoted));
        assert_eq!(mark("div", " id=Signature"), Some(Part::Signature));
        assert_eq!(mark("div", " class=quoted-price"), None);
        assert!(read("div", " id=\"divRplyFwdMsg\"").is_to_the_end);
        assert!(read("div", " style='border:none;border-top:solid #E1E1E1 1.0pt'").may_begin_header);
    }

    #[test]
    fn what_a_reader_does_not_see_is_hidden() {
        for inside in [
            "style=\"display: none !important\"",
            "style='visibility:hidden'",
            "style=font-size:0px",
            "style='opacity:0'",
            "style='max-height:0;overflow:hidden'",
            "hidden",
        ] {
            assert!(read("div", inside).is_hidden, "{inside}");
        }
        for inside in
            ["style='font-size:0.9em'", "style='opacity:0.5'", "style='width:0'", "class=hidden", "title='x hidden'"]
        {
            assert!(!read("div", inside).is_hidden, "{inside}");
        }
    }
}
