//! What Outlook wraps for itself alone (`winmail.dat`): the text and the attachments in it.
//!
//! One pass over the attributes and the properties in them; every length is checked against what is there, only rich text is
//! unpacked (where there is no other text), and what is inside an attached item is not opened.
//!
//! Standards: \[MS-OXTNEF\] §2.1 (stream), §2.1.3 (attributes), \[MS-OXPROPS\] (property ids).

use super::{decode, rtf};

/// What is read of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tnef<'a> {
    /// Plain text, made from rich text where there is no other; empty when there is none.
    pub(super) text: String,
    /// HTML; empty when there is none.
    pub(super) html: String,
    pub(super) attachments: Vec<File<'a>>,
    /// Rich text, packed; empty when there is none.
    rich: &'a [u8],
    /// Whether the stream ends in the middle, or holds what no stream does.
    pub(super) is_broken: bool,
}

/// An attachment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct File<'a> {
    pub(super) name: String,
    pub(super) media: String,
    pub(super) content_id: Option<String>,
    pub(super) data: &'a [u8],
}

/// Attachments of a stream.
const FILES: usize = 200;
/// Properties of an attribute.
const PROPERTIES: u32 = 2_000;
/// Octets of markup that may stand in front of the words of rich text: its tables of fonts and styles.
const MARKUP: usize = 64 * 1024;
/// Octets of a name.
const NAME: usize = 1_024;

const SIGNATURE: [u8; 4] = [0x78, 0x9f, 0x3e, 0x22];

/// Attributes (\[MS-OXTNEF\] §2.1.3.1), without their type.
mod attribute {
    pub(super) const BODY: u16 = 0x800c;
    pub(super) const ATTACH_DATA: u16 = 0x800f;
    pub(super) const ATTACH_TITLE: u16 = 0x8010;
    pub(super) const ATTACH_RENDER: u16 = 0x9002;
    pub(super) const MESSAGE_PROPERTIES: u16 = 0x9003;
    pub(super) const ATTACH_PROPERTIES: u16 = 0x9005;
    pub(super) const CODE_PAGE: u16 = 0x9007;
}

/// Properties (\[MS-OXPROPS\] §2).
mod property {
    pub(super) const BODY: u16 = 0x1000;
    pub(super) const RICH: u16 = 0x1009;
    pub(super) const HTML: u16 = 0x1013;
    pub(super) const DATA: u16 = 0x3701;
    pub(super) const FILENAME: u16 = 0x3704;
    pub(super) const LONG_FILENAME: u16 = 0x3707;
    pub(super) const MEDIA: u16 = 0x370e;
    pub(super) const CONTENT_ID: u16 = 0x3712;
    pub(super) const CODE_PAGE: u16 = 0x3fde;
}

/// Whether `bytes` begin a stream.
pub(super) fn is_stream(bytes: &[u8]) -> bool {
    bytes.starts_with(&SIGNATURE)
}

/// Reads a stream, of texts at most `limit` octets each.
pub(super) fn read(bytes: &[u8], limit: usize) -> Tnef<'_> {
    let mut tnef = Tnef::default();
    let mut rest = Octets(bytes);
    if rest.take(4) != Some(&SIGNATURE) || rest.take(2).is_none() {
        tnef.is_broken = true;
        return tnef;
    }
    let mut page = 1252;
    while !rest.0.is_empty() {
        let Some((id, data)) = attribute(&mut rest) else {
            tnef.is_broken = true;
            break;
        };
        tnef.take(id, data, limit, &mut page);
    }
    tnef.read_rich(limit);
    tnef
}

/// Level, id and type, length, data, checksum.
fn attribute<'a>(rest: &mut Octets<'a>) -> Option<(u16, &'a [u8])> {
    rest.take(1).filter(|level| matches!(level, [1 | 2]))?;
    let (id, _) = (rest.u16()?, rest.u16()?);
    let length = usize::try_from(rest.u32()?).ok()?;
    let data = rest.take(length)?;
    rest.take(2)?;
    Some((id, data))
}

impl<'a> Tnef<'a> {
    fn take(&mut self, id: u16, data: &'a [u8], limit: usize, page: &mut u32) {
        match id {
            attribute::CODE_PAGE => *page = Octets(data).u32().unwrap_or(*page),
            attribute::BODY if self.text.is_empty() => self.text = narrow(data.get(..limit).unwrap_or(data), *page),
            attribute::MESSAGE_PROPERTIES => self.properties(data, limit, page),
            attribute::ATTACH_RENDER => {
                if self.attachments.len() >= FILES {
                    self.is_broken = true;
                } else {
                    self.attachments.push(File::default());
                }
            }
            attribute::ATTACH_TITLE => {
                if let Some(file) = self.attachments.last_mut().filter(|file| file.name.is_empty()) {
                    file.name = narrow(data.get(..NAME).unwrap_or(data), *page);
                }
            }
            attribute::ATTACH_DATA => {
                if let Some(file) = self.attachments.last_mut() {
                    file.data = data;
                }
            }
            attribute::ATTACH_PROPERTIES => {
                let Some(file) = self.attachments.last_mut() else { return };
                self.is_broken |= !file.properties(data, *page);
            }
            _ => {}
        }
    }

    /// Rich text where no other text is there. Its markup is longer than its words; one letter more than asked for is read,
    /// so that it is seen where there are more.
    fn read_rich(&mut self, limit: usize) {
        if self.rich.is_empty() || !self.text.trim().is_empty() || !self.html.trim().is_empty() {
            return;
        }
        match rtf::unpack(self.rich, limit.saturating_mul(4).saturating_add(MARKUP)) {
            Some((unpacked, is_whole)) => {
                self.text = rtf::text(&unpacked, limit.saturating_add(4));
                self.is_broken |= !is_whole;
            }
            None => self.is_broken = true,
        }
    }

    fn properties(&mut self, data: &'a [u8], limit: usize, page: &mut u32) {
        let mut html: &[u8] = &[];
        let is_whole = properties(data, |property| match property.id {
            property::BODY => self.text = property.text(limit, *page),
            property::HTML => html = property.value,
            property::RICH => self.rich = property.value,
            property::CODE_PAGE => *page = Octets(property.value).u32().unwrap_or(*page),
            _ => {}
        });
        self.is_broken |= !is_whole;
        let html = html.get(..limit.saturating_mul(2)).unwrap_or(html);
        if !html.is_empty() {
            self.html = narrow(html, *page);
        }
    }
}

impl<'a> File<'a> {
    /// Says whether all of the properties could be read.
    fn properties(&mut self, data: &'a [u8], page: u32) -> bool {
        properties(data, |property| match property.id {
            property::LONG_FILENAME => self.name = property.text(NAME, page),
            property::FILENAME if self.name.is_empty() => self.name = property.text(NAME, page),
            property::MEDIA => self.media = property.text(NAME, page),
            property::CONTENT_ID => self.content_id = Some(property.text(NAME, page)).filter(|id| !id.is_empty()),
            // An attached item stands behind the id of its interface.
            property::DATA if self.data.is_empty() => {
                let skipped = if property.kind == OBJECT { 16 } else { 0 };
                self.data = property.value.get(skipped..).unwrap_or_default();
            }
            _ => {}
        })
    }
}

/// A property and its first value.
struct Property<'a> {
    id: u16,
    kind: u16,
    value: &'a [u8],
}

const OBJECT: u16 = 0x000d;
const UNICODE: u16 = 0x001f;

impl Property<'_> {
    fn text(&self, limit: usize, page: u32) -> String {
        let value = self.value.get(..limit).unwrap_or(self.value);
        if self.kind != UNICODE {
            return narrow(value, page);
        }
        let units =
            value.chunks_exact(2).map(|pair| pair.iter().rev().fold(0, |unit, byte| unit << 8 | u16::from(*byte)));
        let letters = char::decode_utf16(units).map(|letter| letter.unwrap_or('\u{fffd}'));
        letters.take_while(|letter| *letter != '\0').collect()
    }
}

/// Tells each property to `tell`; says whether all could be read (\[MS-OXTNEF\] §2.1.3.4).
fn properties<'a>(data: &'a [u8], mut tell: impl FnMut(&Property<'a>)) -> bool {
    let mut rest = Octets(data);
    let Some(count) = rest.u32().filter(|count| *count <= PROPERTIES) else { return false };
    for _ in 0..count {
        let Some(property) = next_property(&mut rest) else { return false };
        tell(&property);
    }
    true
}

fn next_property<'a>(rest: &mut Octets<'a>) -> Option<Property<'a>> {
    let (kind, id) = (rest.u16()?, rest.u16()?);
    if id >= 0x8000 {
        rest.take(16)?; // whose name it is
        if rest.u32()? == 0 {
            rest.u32()?;
        } else {
            rest.counted()?;
        }
    }
    let is_multiple = kind & 0x1000 != 0;
    let kind = kind & 0x0fff;
    let width = match kind {
        0x0002 | 0x0003 | 0x0004 | 0x000a | 0x000b => Some(4),
        0x0005 | 0x0006 | 0x0007 | 0x0014 | 0x0040 => Some(8),
        0x0048 => Some(16),
        0x001e | UNICODE | OBJECT | 0x0102 => None,
        _ => return None,
    };
    // What has no fixed width has a count of its own, which is one.
    let count = if is_multiple || width.is_none() { rest.u32()? } else { 1 };
    let mut first: Option<&[u8]> = None;
    for _ in 0..count {
        let value = match width {
            Some(width) => rest.take(width)?,
            None => rest.counted()?,
        };
        first.get_or_insert(value);
    }
    Some(Property { id, kind, value: first.unwrap_or_default() })
}

/// Text of a Windows code page, up to its end mark.
pub(super) fn narrow(bytes: &[u8], page: u32) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let bytes = bytes.get(..end).unwrap_or(bytes);
    let label = match page {
        65001 | 20127 => "utf-8".to_owned(),
        932 => "shift_jis".to_owned(),
        936 | 54936 => "gb18030".to_owned(),
        949 | 51949 => "euc-kr".to_owned(),
        950 => "big5".to_owned(),
        20866 => "koi8-r".to_owned(),
        28591..=28605 => format!("iso-8859-{}", page - 28590),
        50220..=50222 => "iso-2022-jp".to_owned(),
        page => format!("windows-{page}"),
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => decode::known_charset(bytes, &label).unwrap_or_else(|| super::charset::read(bytes, "").0),
    }
}

/// Octets under way, least significant first.
struct Octets<'a>(&'a [u8]);

impl<'a> Octets<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    /// A length and as many octets, filled up to a multiple of four.
    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let value = self.take(length)?;
        self.take(length.wrapping_neg() % 4)?;
        Some(value)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attribute(level: u8, id: u16, data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap().to_le_bytes();
        let sum = data.iter().fold(0u16, |sum, byte| sum.wrapping_add(u16::from(*byte)));
        [&[level][..], &id.to_le_bytes(), &[6, 0], &length, data, &sum.to_le_bytes()].concat()
    }

    fn counted(value: &[u8]) -> Vec<u8> {
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        [&length[..], value, &[0, 0, 0][..value.len().wrapping_neg() % 4]].concat()
    }

    fn variable(kind: u16, id: u16, value: &[u8]) -> Vec<u8> {
        [&kind.to_le_bytes()[..], &id.to_le_bytes(), &1u32.to_le_bytes(), &counted(value)].concat()
    }

    fn unicode(text: &str) -> Vec<u8> {
        text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
    }

    /// A stream with a text, HTML, and an attachment.
    pub(in crate::mail::message) fn stream() -> Vec<u8> {
        let named = [
            &0x0003u16.to_le_bytes()[..],
            &0x8001u16.to_le_bytes(),
            &[7; 16],
            &1u32.to_le_bytes(),
            &counted(&unicode("x")),
            &[9, 0, 0, 0],
        ]
        .concat();
        let many = [&0x1003u16.to_le_bytes()[..], &0x0e01u16.to_le_bytes(), &2u32.to_le_bytes(), &[1; 8]].concat();
        let message = [
            &4u32.to_le_bytes()[..],
            &named,
            &many,
            &variable(UNICODE, property::BODY, &unicode("Grüße!")),
            &variable(0x0102, property::HTML, b"<p>Gr\xfc\xdfe</p>"),
        ]
        .concat();
        let file =
            [&1u32.to_le_bytes()[..], &variable(UNICODE, property::LONG_FILENAME, &unicode("Preisliste März.pdf"))]
                .concat();
        [
            &SIGNATURE[..],
            &[1, 0],
            &self::attribute(1, attribute::CODE_PAGE, &[0xe4, 4, 0, 0, 0, 0, 0, 0]),
            &self::attribute(1, attribute::MESSAGE_PROPERTIES, &message),
            &self::attribute(2, attribute::ATTACH_RENDER, &[0; 14]),
            &self::attribute(2, attribute::ATTACH_TITLE, b"PREISL~1.PDF\0"),
            &self::attribute(2, attribute::ATTACH_DATA, b"%PDF-1.7"),
            &self::attribute(2, attribute::ATTACH_PROPERTIES, &file),
        ]
        .concat()
    }

    #[test]
    fn text_and_attachments_are_read_out_of_a_stream() {
        let stream = stream();
        let tnef = read(&stream, 1_000);
        assert_eq!((tnef.text.as_str(), tnef.html.as_str(), tnef.is_broken), ("Grüße!", "<p>Grüße</p>", false));
        let [file] = &tnef.attachments[..] else { panic!("{tnef:?}") };
        assert_eq!((file.name.as_str(), file.data), ("Preisliste März.pdf", &b"%PDF-1.7"[..]));
    }

    /// A stream whose only text is this rich text, packed.
    pub(in crate::mail::message) fn rich_stream(packed: &[u8], text: &str) -> Vec<u8> {
        let text = if text.is_empty() { Vec::new() } else { variable(UNICODE, property::BODY, &unicode(text)) };
        let count = if text.is_empty() { 1u32 } else { 2 };
        let properties = [&count.to_le_bytes()[..], &text, &variable(0x0102, property::RICH, packed)].concat();
        [&SIGNATURE[..], &[1, 0], &attribute(1, attribute::MESSAGE_PROPERTIES, &properties)].concat()
    }

    #[test]
    fn rich_text_is_read_where_there_is_no_other() {
        let rtf = r"{\rtf1\ansi\ansicpg1252 Gr\'fc\'dfe\par}";
        let packed =
            [&[0, 0, 0, 0][..], &u32::try_from(rtf.len()).unwrap().to_le_bytes(), b"MELA\0\0\0\0", rtf.as_bytes()]
                .concat();
        let of = |packed: &[u8], text: &str, limit: usize| {
            let stream = rich_stream(packed, text);
            let tnef = read(&stream, limit);
            (tnef.text, tnef.is_broken)
        };
        assert_eq!(of(&packed, "", 1_000), ("Grüße\n".to_owned(), false));
        assert_eq!(of(&packed, "plain", 1_000), ("plain".to_owned(), false));
        assert_eq!(of(packed.get(..packed.len() - 3).unwrap(), "", 1_000), ("Grüße".to_owned(), true), "it breaks off");
        assert_eq!(of(b"no rich text at all", "", 1_000), (String::new(), true));
    }

    #[test]
    fn any_prefix_of_a_stream_is_read() {
        let stream = stream();
        for end in 0..stream.len() {
            let tnef = read(&stream[..end], 1_000);
            assert!(tnef.attachments.len() <= 1);
        }
        assert!(read(&stream[..stream.len() - 1], 1_000).is_broken);
        let crowd = [&SIGNATURE[..], &[1, 0], &attribute(2, attribute::ATTACH_RENDER, &[]).repeat(10_000)].concat();
        assert_eq!(read(&crowd, 1_000).attachments.len(), FILES);
        let count = [&SIGNATURE[..], &[1, 0], &attribute(1, attribute::MESSAGE_PROPERTIES, &[0xff; 64])].concat();
        assert!(read(&count, 1_000).is_broken);
    }

    proptest! {
        #[test]
        fn any_octets_are_read(bytes: Vec<u8>, at in 0usize..400, octet: u8) {
            read(&bytes, 100);
            let packed = [&b"\0\0\0\0\xff\xff\0\0LZFu\0\0\0\0"[..], &bytes].concat();
            prop_assert!(read(&rich_stream(&packed, ""), 100).text.len() <= 104);
            let mut stream = stream();
            let at = at % stream.len();
            stream[at] = octet;
            read(&stream, 100);
        }
    }
}
