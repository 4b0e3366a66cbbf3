//! Rich text, which Outlook alone writes: unpacked, and the words out of it.
//!
//! One pass over the octets each. What is unpacked is bounded by the caller, groups are counted and not followed down, and
//! what ends in the middle gives what is there.
//!
//! Standards: \[MS-OXRTFCP\] §2.1 (headers), §2.2 and §3.1 (the algorithm), Rich Text Format 1.9.1, \[MS-OXRTFEX\] §2.1
//! (HTML inside of it, whose tags are left out).

use super::tnef::narrow;

/// What the dictionary begins with (\[MS-OXRTFCP\] §2.1.2.1).
const DICTIONARY: &[u8; 207] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \
\\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";
const DICTIONARY_SIZE: usize = 4_096;
const COMPRESSED: [u8; 4] = *b"LZFu";
const UNCOMPRESSED: [u8; 4] = *b"MELA";

/// Levels of groups whose state is kept; those below have that of the last.
const GROUPS: usize = 100;
/// Fonts whose charset is kept.
const FONTS: usize = 100;
/// Letters of a control word and of its number.
const WORD: usize = 32;

/// Unpacks at most `limit` octets of what stands in `PidTagRtfCompressed`; `None` where it is none. Says also whether it is whole.
pub(super) fn unpack(bytes: &[u8], limit: usize) -> Option<(Vec<u8>, bool)> {
    let (header, content) = bytes.split_first_chunk::<16>()?;
    let [_, _, _, _, s0, s1, s2, s3, t0, t1, t2, t3, ..] = *header;
    let size = usize::try_from(u32::from_le_bytes([s0, s1, s2, s3])).ok()?;
    let limit = limit.min(size);
    match [t0, t1, t2, t3] {
        UNCOMPRESSED => Some((content.get(..limit).unwrap_or(content).to_vec(), content.len() >= size)),
        COMPRESSED => {
            let unpacked = decompress(content, limit);
            let is_whole = unpacked.len() == size;
            Some((unpacked, is_whole))
        }
        _ => None,
    }
}

fn decompress(content: &[u8], limit: usize) -> Vec<u8> {
    let mut dictionary = [0_u8; DICTIONARY_SIZE];
    dictionary.iter_mut().zip(DICTIONARY).for_each(|(place, octet)| *place = *octet);
    let (mut out, mut at) = (Vec::new(), DICTIONARY.len());
    let mut put = |octet: u8, dictionary: &mut [u8; DICTIONARY_SIZE], at: &mut usize| {
        if let Some(place) = dictionary.get_mut(*at) {
            *place = octet;
        }
        *at = (*at + 1) % DICTIONARY_SIZE;
        out.push(octet);
        out.len() < limit
    };
    let mut octets = content.iter().copied();
    'all: while let Some(control) = octets.next().filter(|_| limit > 0) {
        for bit in 0..8 {
            if control & (1 << bit) == 0 {
                let Some(octet) = octets.next() else { break 'all };
                if !put(octet, &mut dictionary, &mut at) {
                    break 'all;
                }
                continue;
            }
            let (Some(high), Some(low)) = (octets.next(), octets.next()) else { break 'all };
            let from = usize::from(high) << 4 | usize::from(low >> 4);
            if from == at {
                break 'all; // the end mark
            }
            for step in 0..usize::from(low & 0xf) + 2 {
                let octet = dictionary.get((from + step) % DICTIONARY_SIZE).copied().unwrap_or_default();
                if !put(octet, &mut dictionary, &mut at) {
                    break 'all;
                }
            }
        }
    }
    out
}

/// Groups that hold no words of the text.
const SILENT: [&str; 22] = [
    "colortbl",
    "stylesheet",
    "info",
    "pict",
    "object",
    "header",
    "headerl",
    "headerr",
    "headerf",
    "footer",
    "footerl",
    "footerr",
    "footerf",
    "fldinst",
    "filetbl",
    "listtable",
    "listoverridetable",
    "rsidtbl",
    "nonshppict",
    "xe",
    "tc",
    "revtbl",
];

/// What holds inside of a group.
#[derive(Clone, Copy)]
struct Group {
    is_silent: bool,
    is_font_table: bool,
    /// Letters that stand for one of `\u` for older readers.
    fallback: usize,
    font: i32,
}

/// The words of `rtf`, at most `limit` octets.
pub(super) fn text(rtf: &[u8], limit: usize) -> String {
    let mut reader = Reader {
        rest: rtf,
        limit,
        text: String::new(),
        narrow: Vec::new(),
        high: None,
        skip: 0,
        page: 1252,
        fonts: Vec::new(),
        group: Group { is_silent: false, is_font_table: false, fallback: 1, font: -1 },
        above: Vec::new(),
        deeper: 0,
    };
    while reader.text.len() < limit && reader.step() {}
    reader.flush();
    let mut text = reader.text;
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    text
}

struct Reader<'a> {
    rest: &'a [u8],
    limit: usize,
    text: String,
    /// Octets of a code page that are no text yet.
    narrow: Vec<u8>,
    /// The first half of a letter of two units.
    high: Option<u16>,
    /// Letters that are still to be skipped.
    skip: usize,
    page: u32,
    fonts: Vec<(i32, u32)>,
    group: Group,
    above: Vec<Group>,
    /// Levels below those that are kept.
    deeper: usize,
}

impl Reader<'_> {
    /// Reads one token; whether there was one.
    fn step(&mut self) -> bool {
        let Some((octet, rest)) = self.rest.split_first() else { return false };
        self.rest = rest;
        match octet {
            b'{' if self.above.len() < GROUPS => self.above.push(self.group),
            b'{' => self.deeper += 1,
            b'}' if self.deeper > 0 => self.deeper -= 1,
            b'}' => {
                self.flush();
                self.skip = 0;
                let Some(group) = self.above.pop() else { return false };
                self.group = group;
                // What stands behind the outermost group is none of it.
                return !self.above.is_empty();
            }
            b'\\' => self.control(),
            b'\r' | b'\n' | 0 => {}
            octet => self.octet(*octet),
        }
        true
    }

    fn control(&mut self) {
        let Some((octet, rest)) = self.rest.split_first() else { return };
        if octet.is_ascii_alphabetic() {
            let letters = self.rest.iter().take(WORD).take_while(|octet| octet.is_ascii_alphabetic()).count();
            let (word, rest) = self.rest.split_at(letters);
            let sign = usize::from(rest.first() == Some(&b'-'));
            let digits = rest.iter().skip(sign).take(WORD).take_while(|octet| octet.is_ascii_digit()).count();
            let (number, rest) = if digits > 0 { rest.split_at(sign + digits) } else { (&[][..], rest) };
            self.rest = rest.strip_prefix(b" ").unwrap_or(rest);
            let number = std::str::from_utf8(number).ok().and_then(|number| number.parse().ok());
            self.word(word, number);
            return;
        }
        self.rest = rest;
        match octet {
            b'\'' => {
                let Some((digits, rest)) = self.rest.split_first_chunk::<2>() else {
                    self.rest = &[];
                    return;
                };
                let value = std::str::from_utf8(digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
                if let Some(value) = value {
                    self.rest = rest;
                    self.octet(value);
                }
            }
            // A destination that older readers do not know: no words of the text stand in it.
            b'*' => self.group.is_silent = true,
            b'~' => self.letter('\u{a0}'),
            b'_' => self.letter('\u{2011}'),
            b'\r' | b'\n' => self.letter('\n'),
            b'\\' | b'{' | b'}' => self.octet(*octet),
            _ => {}
        }
    }

    fn word(&mut self, word: &[u8], number: Option<i32>) {
        let positive = number.and_then(|number| u32::try_from(number).ok());
        match word {
            b"u" => {
                if let Some(number) = number {
                    self.unit(number);
                }
                self.skip = self.group.fallback;
            }
            b"uc" => {
                self.group.fallback = positive.and_then(|count| usize::try_from(count).ok()).unwrap_or(1).min(WORD);
            }
            b"bin" => {
                let count = positive.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
                self.rest = self.rest.get(count..).unwrap_or_default();
            }
            b"ansicpg" => self.page = positive.unwrap_or(self.page),
            b"fonttbl" => (self.group.is_font_table, self.group.is_silent) = (true, true),
            b"f" => {
                self.flush();
                self.group.font = number.unwrap_or(-1);
            }
            b"fcharset" if self.group.is_font_table && self.fonts.len() < FONTS => {
                if let Some(page) = positive.and_then(page_of) {
                    self.fonts.push((self.group.font, page));
                }
            }
            b"plain" => {
                self.flush();
                self.group.font = -1;
            }
            b"par" | b"line" | b"row" | b"sect" | b"page" => self.letter('\n'),
            b"tab" | b"cell" => self.letter('\t'),
            b"emdash" => self.letter('\u{2014}'),
            b"endash" => self.letter('\u{2013}'),
            b"lquote" => self.letter('\u{2018}'),
            b"rquote" => self.letter('\u{2019}'),
            b"ldblquote" => self.letter('\u{201c}'),
            b"rdblquote" => self.letter('\u{201d}'),
            b"bullet" => self.letter('\u{2022}'),
            b"emspace" | b"enspace" | b"qmspace" => self.letter(' '),
            word if SILENT.iter().any(|silent| silent.as_bytes() == word) => self.group.is_silent = true,
            _ => {}
        }
    }

    /// One UTF-16 unit, as a number that may be negative.
    fn unit(&mut self, number: i32) {
        let Ok(unit) = u16::try_from(number.rem_euclid(0x1_0000)) else { return };
        let units = self.high.take().into_iter().chain([unit]);
        if (0xd800..0xdc00).contains(&unit) {
            self.high = Some(unit);
            return;
        }
        let letters: Vec<char> = char::decode_utf16(units).map(|letter| letter.unwrap_or('\u{fffd}')).collect();
        self.flush();
        if !self.group.is_silent {
            self.text.extend(letters);
        }
    }

    /// A letter that stands for itself in every code page, or one octet of a page.
    fn octet(&mut self, octet: u8) {
        if self.skip > 0 {
            self.skip -= 1;
        } else if !self.group.is_silent && octet != 0 {
            self.high = None;
            self.narrow.push(octet);
            if self.narrow.len() >= self.limit.saturating_sub(self.text.len()) {
                self.flush();
            }
        }
    }

    fn letter(&mut self, letter: char) {
        if self.skip > 0 {
            self.skip -= 1;
            return;
        }
        self.flush();
        if !self.group.is_silent {
            self.text.push(letter);
        }
    }

    /// Makes text of the octets that were gathered.
    fn flush(&mut self) {
        if self.narrow.is_empty() {
            return;
        }
        let own = self.fonts.iter().find(|(font, _)| *font == self.group.font);
        let octets = std::mem::take(&mut self.narrow);
        self.text.push_str(&narrow(&octets, own.map_or(self.page, |(_, page)| *page)));
    }
}

/// The code page of `\fcharset`.
const fn page_of(charset: u32) -> Option<u32> {
    Some(match charset {
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The examples of \[MS-OXRTFCP\] §4.1 and §4.2, the second of which copies what it is just writing.
    const HELLO: &[u8] = b"\x2d\0\0\0\x2b\0\0\0LZFu\xf1\xc5\xc7\xa7\x03\0\x0a\0rcpg125\x42\x32\x0a\xf3 hel\x09\0 bw\x05\xb0ld}\x0a\x80\x0f\xa0";
    const OVERLAPPING: &[u8] = b"\x1a\0\0\0\x1c\0\0\0LZFu\xe2\xd4\x4b\x51\x41\0\x04\x20WXYZ\x0d\x6e}\x01\x0e\xb0";

    fn words(rtf: &str) -> String {
        text(rtf.as_bytes(), 10_000)
    }

    #[test]
    fn the_examples_of_the_standard_are_unpacked() {
        let (rtf, is_whole) = unpack(HELLO, 1_000).unwrap();
        assert_eq!((rtf.as_slice(), is_whole), (&b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"[..], true));
        assert_eq!(unpack(OVERLAPPING, 1_000).unwrap(), (b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}".to_vec(), true));
        let plain = [&b"\x12\0\0\0\x06\0\0\0MELA\0\0\0\0"[..], b"{\\rtf}"].concat();
        assert_eq!(unpack(&plain, 1_000).unwrap(), (b"{\\rtf}".to_vec(), true));
        let unknown = [&b"\x12\0\0\0\x06\0\0\0ABCD\0\0\0\0"[..], b"{\\rtf}"].concat();
        assert_eq!((unpack(&unknown, 1_000), unpack(&[], 1_000)), (None, None));
    }

    #[test]
    fn the_end_mark_ends_what_says_that_it_is_longer() {
        let mut longer = HELLO.to_vec();
        longer[4] = 0xff;
        longer.extend_from_slice(&[0; 100]);
        let (rtf, is_whole) = unpack(&longer, 1_000).unwrap();
        assert_eq!((rtf.len(), is_whole), (43, false));
    }

    #[test]
    fn no_more_is_unpacked_than_asked_for() {
        for limit in 0..50 {
            let (rtf, is_whole) = unpack(HELLO, limit).unwrap();
            assert_eq!((rtf.len(), is_whole), (limit.min(43), limit >= 43));
        }
        // Each pair of octets becomes seventeen.
        let bomb = [&b"\0\0\0\0\xff\xff\xff\xffLZFu\0\0\0\0"[..], &[0xff, 0, 0xf].repeat(100_000)].concat();
        assert_eq!(unpack(&bomb, 10_000).unwrap().0.len(), 10_000);
    }

    #[test]
    fn words_are_read_and_all_that_is_no_text_is_not() {
        let head = r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fswiss Arial;}{\f1\fcharset204 Arial;}}{\colortbl;\red0\green0\blue0;}{\*\generator Riched20;}{\info{\author Ann}}";
        for (rtf, expected) in [
            (r"\pard Gr\'fc\'dfe, {\b Sam}\par Preis: 5\'80\tab\{x\}\\\par}", "Grüße, Sam\nPreis: 5€\t{x}\\\n"),
            (r"{\f1 \'cf\'f0\'e8\'e2\'e5\'f2} \'e4}", "Привет ä"),
            (r"\uc1\u1055?\u1088\'f0 \u-10179?\u-8704? {\uc0\u9786}\u9786 ?x}", "Пр 😀 ☺☺x"),
            (r"\ldblquote a\rdblquote\emdash b\~c\line d\cell}", "“a”—b\u{a0}c\nd\t"),
            ("a\r\nb\\\nc{\\pict\\bin3 }}}d}e", "ab\nce"),
            (r"{\field{\*\fldinst HYPERLINK https://x.example}{\fldrslt here}}}", "here"),
            (r"\fromhtml1 {\*\htmltag64 <p>}Hello{\*\htmltag72 </p>}\htmlrtf\par\htmlrtf0}", "Hello\n"),
        ] {
            assert_eq!(words(&format!("{head}{rtf}")), expected, "{rtf}");
        }
    }

    #[test]
    fn groups_are_counted_however_deep_they_are() {
        let deep = format!("{{\\rtf1 {}x{}y}}z", "{".repeat(100_000), "}".repeat(100_000));
        assert_eq!(words(&deep), "xy");
        assert_eq!(text(format!("{{\\rtf1 {}}}", "ab".repeat(50_000)).as_bytes(), 1_001).len(), 1_001);
        assert_eq!(text("{\\rtf1 \\u9786?\\u9786?}".as_bytes(), 4), "☺");
    }

    proptest! {
        #[test]
        fn any_octets_and_any_beginning_of_them_are_unpacked_and_read(
            packed: Vec<u8>,
            rtf in r"(\\[a-z]{1,8}-?[0-9]{0,6} ?|\\'[0-9a-f]{2}|[{}\\*]|[a-z ]|\PC){0,80}",
            at in 0_usize..64,
            octet: u8,
        ) {
            let mut changed = HELLO.to_vec();
            if let Some(place) = changed.get_mut(at) {
                *place = octet;
            }
            let packed = [&b"\0\0\0\0\xff\xff\0\0LZFu\0\0\0\0"[..], &packed].concat();
            for bytes in [packed.as_slice(), &changed] {
                for end in 0..=bytes.len() {
                    let unpacked = unpack(&bytes[..end], 500);
                    prop_assert!(unpacked.is_none_or(|(rtf, _)| rtf.len() <= 500 && text(&rtf, 100).len() <= 100));
                }
            }
            for end in 0..=rtf.len() {
                prop_assert!(text(&rtf.as_bytes()[..end], 50).len() <= 50);
            }
        }
    }
}
