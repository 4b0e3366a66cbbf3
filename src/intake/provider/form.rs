//! The fields of a form: `multipart/form-data` and `application/x-www-form-urlencoded`, by name, to the byte.
//!
//! Standards: RFC 7578 (multipart/form-data), RFC 2046 §5.1 (multipart syntax), WHATWG URL (urlencoded).

use std::borrow::Cow;

use memchr::memmem;
use percent_encoding::percent_decode;

use super::ReadError;

/// Fields of one form, and parts of one body.
const FIELDS: usize = 1_000;
/// Octets of the header of one part.
const PART_HEADER: usize = 8 << 10;
/// RFC 2046 §5.1.1
const BOUNDARY: usize = 70;

/// The fields of a form, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields<'a>(Vec<(String, Cow<'a, [u8]>)>);

impl<'a> Fields<'a> {
    /// Reads a body of the type that its `Content-Type` names.
    ///
    /// # Errors
    /// [`ReadError::Malformed`].
    pub fn read(content_type: &str, body: &'a [u8]) -> Result<Self, ReadError> {
        let (essence, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        let essence = essence.trim();
        if essence.eq_ignore_ascii_case("multipart/form-data") {
            let boundary = boundary(parameters).ok_or(ReadError::Malformed("Content-Type has no usable boundary"))?;
            multipart(boundary, body).map(Self)
        } else if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            urlencoded(body).map(Self)
        } else {
            Err(ReadError::Malformed("the body is no form: neither multipart/form-data nor urlencoded"))
        }
    }

    /// The first field of this name.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_ref())
    }

    /// The first field of this name, where it is UTF-8.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.bytes(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Takes the first field of this name out.
    #[must_use]
    pub fn take(&mut self, name: &str) -> Option<Cow<'a, [u8]>> {
        self.0.iter_mut().find(|(found, _)| found == name).map(|(_, value)| std::mem::take(value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The parameter `boundary`, quoted or not.
fn boundary(parameters: &str) -> Option<&str> {
    let value = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then_some(value.trim())
    })?;
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let is_usable = (1..=BOUNDARY).contains(&value.len()) && value.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    is_usable.then_some(value)
}

type Field<'a> = (String, Cow<'a, [u8]>);

fn multipart<'a>(boundary: &str, body: &'a [u8]) -> Result<Vec<Field<'a>>, ReadError> {
    const BROKEN: ReadError = ReadError::Malformed("the multipart body does not end with its boundary");
    let delimiter = format!("\r\n--{boundary}");
    let finder = memmem::Finder::new(delimiter.as_bytes());
    // The first delimiter may begin the body, without the line break that belongs to the others.
    let opening = delimiter.get(2..).unwrap_or_default().as_bytes();
    let mut rest = match body.strip_prefix(opening) {
        Some(rest) => rest,
        None => finder.find(body).and_then(|at| body.get(at + delimiter.len()..)).ok_or(BROKEN)?,
    };
    let mut fields = Vec::new();
    loop {
        // RFC 2046 §5.1.1: what ends the last part has two hyphens more.
        if rest.starts_with(b"--") {
            return Ok(fields);
        }
        let line_end = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(rest.len());
        rest = rest.get(line_end..).and_then(|rest| rest.strip_prefix(b"\r\n")).ok_or(BROKEN)?;
        let end = finder.find(rest).ok_or(BROKEN)?;
        let (part, behind) = rest.split_at(end);
        rest = behind.get(delimiter.len()..).unwrap_or_default();
        if fields.len() >= FIELDS {
            return Err(ReadError::Malformed("the form has more than 1,000 fields"));
        }
        fields.extend(field(part)?);
    }
}

/// A part: its header, an empty line, its value. One without a name is no field.
fn field(part: &[u8]) -> Result<Option<Field<'_>>, ReadError> {
    const BROKEN: ReadError = ReadError::Malformed("a part of the form has no header");
    // A header may be empty.
    if part.starts_with(b"\r\n") {
        return Ok(None);
    }
    let end = memmem::find(part.get(..PART_HEADER.min(part.len())).unwrap_or(part), b"\r\n\r\n").ok_or(BROKEN)?;
    let (header, value) = part.split_at(end);
    let header = std::str::from_utf8(header).map_err(|_| BROKEN)?;
    let name = header.split("\r\n").find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.trim().eq_ignore_ascii_case("content-disposition").then(|| disposition_name(value)).flatten()
    });
    Ok(name.map(|name| (name, Cow::Borrowed(value.get(4..).unwrap_or_default()))))
}

/// The parameter `name` of `form-data` (RFC 7578 §4.2). Semicolons and escaped quotes may be in quotes.
fn disposition_name(value: &str) -> Option<String> {
    let (kind, mut rest) = value.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("form-data") {
        return None;
    }
    loop {
        let (name, behind) = rest.split_once('=')?;
        let behind = behind.trim_start();
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = behind.find(';').unwrap_or(behind.len());
                let (value, behind) = behind.split_at(end);
                (value.trim().to_owned(), behind)
            }
        };
        if name.trim().trim_start_matches(';').trim().eq_ignore_ascii_case("name") {
            return Some(value);
        }
        rest = behind.trim_start().strip_prefix(';')?;
    }
}

/// Up to the closing quote, and what is behind it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..).unwrap_or_default())),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    None
}

fn urlencoded(body: &[u8]) -> Result<Vec<Field<'_>>, ReadError> {
    let mut fields = Vec::new();
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if fields.len() >= FIELDS {
            return Err(ReadError::Malformed("the form has more than 1,000 fields"));
        }
        let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let (name, value) = pair.split_at(at);
        let name = String::from_utf8(decoded(name).into_owned());
        let name = name.map_err(|_| ReadError::Malformed("the name of a field is not UTF-8"))?;
        fields.push((name, decoded(value.get(1..).unwrap_or_default())));
    }
    Ok(fields)
}

/// Percent-decoded to the byte; a percent sign without two digits stands for itself, as WHATWG has it.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}
