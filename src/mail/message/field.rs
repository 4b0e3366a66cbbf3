//! Header blocks: where they end, and the raw fields in them.
//!
//! Standards: RFC 5322 §2.2 (fields), §2.2.3 (folding), §2.1 (the blank line that ends the header).

use std::ops::Range;

/// One header field as it stands in the bytes.
#[derive(Debug, Clone, Copy)]
pub(in crate::mail) struct Field<'a> {
    /// Name as written, without blanks at its end.
    pub(in crate::mail) name: &'a [u8],
    /// Everything behind the colon, folds included, without the last line end.
    pub(in crate::mail) value: &'a [u8],
}

impl Field<'_> {
    /// Whether the field has this name, whatever the letter case.
    pub(in crate::mail) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Where a header block lies.
#[derive(Debug, Clone)]
pub(in crate::mail) struct Block {
    /// The field lines, cut at the limit.
    pub(in crate::mail) header: Range<usize>,
    /// Where the body begins: behind the blank line.
    pub(in crate::mail) body: usize,
    /// Whether lines over the limit were left out.
    pub(in crate::mail) is_cut: bool,
}

/// One line of a byte string.
#[derive(Debug, Clone, Copy)]
pub(in crate::mail) struct Line<'a> {
    /// Offset of the first octet.
    pub(in crate::mail) start: usize,
    /// The octets without the line end.
    pub(in crate::mail) content: &'a [u8],
    /// Offset behind the line end.
    pub(in crate::mail) next: usize,
}

/// The lines of `bytes` from offset `at` on. LF ends a line, with or without CR in front of it; CR alone does not.
pub(in crate::mail) fn lines(bytes: &[u8], at: usize) -> impl Iterator<Item = Line<'_>> {
    let mut start = at;
    bytes.get(at..).unwrap_or_default().split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let here = start;
        start += line.len();
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        Line { start: here, content: content.strip_suffix(b"\r").unwrap_or(content), next: start }
    })
}

/// The header block that begins at `at`. It ends at a blank line, or in front of a line for which `is_end` holds.
pub(in crate::mail) fn block(bytes: &[u8], at: usize, limit: usize, is_end: impl Fn(&[u8]) -> bool) -> Block {
    let mut kept = at;
    for line in lines(bytes, at) {
        let is_cut = kept < line.start;
        if line.content.is_empty() {
            return Block { header: at..kept, body: line.next, is_cut };
        }
        if is_end(line.content) {
            return Block { header: at..kept, body: line.start, is_cut };
        }
        if !is_cut && line.next - at <= limit {
            kept = line.next;
        }
    }
    let end = bytes.len().max(at);
    Block { header: at..kept, body: end, is_cut: kept < end }
}

/// The fields of a header block, and whether a line in it is neither field nor continuation.
pub(in crate::mail) fn fields(header: &[u8]) -> (Vec<Field<'_>>, bool) {
    let mut fields = Vec::new();
    let mut is_malformed = false;
    let mut open: Option<(&[u8], Range<usize>)> = None;
    for line in lines(header, 0) {
        let end = line.start + line.content.len();
        if matches!(line.content.first(), Some(b' ' | b'\t')) {
            match &mut open {
                Some((_, value)) => value.end = end, // RFC 5322 §2.2.3
                None => is_malformed = true,
            }
            continue;
        }
        flush(header, &mut open, &mut fields);
        match split(line.content) {
            Some((name, colon)) => open = Some((name, line.start + colon + 1..end)),
            // The envelope line of an mbox file may stand first; it is no field and no fault.
            None if line.start == 0 && line.content.starts_with(b"From ") => {}
            None => is_malformed = true,
        }
    }
    flush(header, &mut open, &mut fields);
    (fields, is_malformed)
}

fn flush<'a>(header: &'a [u8], open: &mut Option<(&'a [u8], Range<usize>)>, fields: &mut Vec<Field<'a>>) {
    if let Some((name, value)) = open.take() {
        fields.push(Field { name, value: header.get(value).unwrap_or_default() });
    }
}

/// The field name of a line and where its colon is. RFC 5322 §4.5 allows blanks in front of the colon.
fn split(line: &[u8]) -> Option<(&[u8], usize)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = line.get(..colon)?.trim_ascii_end();
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_name.then_some((name, colon))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folded_value_is_one_field() {
        let (fields, is_malformed) = fields(b"Subject : one\r\n two\r\nTo: x\n");
        assert!(!is_malformed);
        assert_eq!(fields.len(), 2);
        assert!(fields[0].is("subject"));
        assert_eq!(fields[0].value, b" one\r\n two");
        assert_eq!(fields[1].value, b" x");
    }

    #[test]
    fn a_line_without_a_colon_hides_no_field_behind_it() {
        let (fields, is_malformed) = fields(b"To: x\r\nrubbish\r\n more\r\nCc: y\r\n");
        assert!(is_malformed);
        assert_eq!(fields.len(), 2);
    }

    #[test]
    fn a_block_over_the_limit_loses_whole_lines_and_keeps_its_body() {
        let bytes = b"A: 1\r\nB: 22222222\r\nC: 3\r\n\r\nbody";
        let block = block(bytes, 0, 10, |_| false);
        assert_eq!(&bytes[block.header.clone()], b"A: 1\r\n");
        assert_eq!(&bytes[block.body..], b"body");
        assert!(block.is_cut);
    }
}
