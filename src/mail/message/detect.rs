//! What the first octets of a file say that it is, whatever its name and declared type say.
//!
//! A hint for people and rules, and no proof: octets can be two things at once. Nothing is opened or unpacked.

/// Octets that are looked at.
pub(super) const SNIFFED: usize = 4 * 1024;

/// Octets at a place, and the media type that they tell.
const MAGIC: [(usize, &[u8], &str); 45] = [
    (0, b"%PDF-", "application/pdf"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypmif1", "image/heif"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftypqt", "video/quicktime"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\0\0\x01\0", "image/vnd.microsoft.icon"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (0, b"{\\rtf", "text/rtf"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (257, b"ustar", "application/x-tar"),
    (0, b"MSCF", "application/vnd.ms-cab-compressed"),
    (0, b"ITSF", "application/vnd.ms-htmlhelp"),
    (0, b"MZ", "application/vnd.microsoft.portable-executable"),
    (0, b"\x7fELF", "application/x-elf"),
    (0, b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (0, b"\xca\xfe\xba\xbe", "application/java-vm"),
    (0, b"L\0\0\0\x01\x14\x02\0", "application/x-ms-shortcut"),
    (0, b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", "application/onenote"),
    (0, b"\x78\x9f\x3e\x22", "application/ms-tnef"),
    (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"\0asm", "application/wasm"),
    (0, b"%!PS", "application/postscript"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
    (0, b"#!", "text/x-shellscript"),
    (0, b"wOF2", "font/woff2"),
];

/// Names of entries by which a ZIP archive is known to be more.
const ZIPPED: [(&[u8], &str); 9] = [
    (b"mimetypeapplication/vnd.oasis.opendocument.text", "application/vnd.oasis.opendocument.text"),
    (b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "application/vnd.oasis.opendocument.spreadsheet"),
    (b"mimetypeapplication/vnd.oasis.opendocument.presentation", "application/vnd.oasis.opendocument.presentation"),
    (b"mimetypeapplication/epub+zip", "application/epub+zip"),
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    (b"META-INF/", "application/java-archive"),
    (b"[Content_Types].xml", "application/vnd.openxmlformats-officedocument"),
];

/// Beginnings of text, in lower case.
const TEXTS: [(&str, &str); 10] = [
    ("begin:vcalendar", "text/calendar"),
    ("begin:vcard", "text/vcard"),
    ("<!doctype html", "text/html"),
    ("<html", "text/html"),
    ("<head", "text/html"),
    ("<body", "text/html"),
    ("<script", "text/html"),
    ("<svg", "image/svg+xml"),
    ("<?xml", "application/xml"),
    ("-----begin pgp ", "application/pgp-encrypted"),
];

/// The media type that the octets tell; `None` where they tell none.
pub(super) fn media_type(bytes: &[u8]) -> Option<&'static str> {
    let bytes = bytes.get(..SNIFFED).unwrap_or(bytes);
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        let known = ZIPPED.iter().find(|(name, _)| memchr::memmem::find(bytes, name).is_some());
        return Some(known.map_or("application/zip", |(_, media)| media));
    }
    let is_at = |at: usize, magic: &[u8]| bytes.get(at..).is_some_and(|bytes| bytes.starts_with(magic));
    let is_text = is_text(bytes);
    let magic = MAGIC.iter().find(|(at, magic, _)| {
        // Two letters begin many a text.
        is_at(*at, magic) && !(is_text && matches!(magic, [b'B', b'M'] | [b'M', b'Z'] | [b'I', b'D', b'3']))
    });
    if let Some((_, _, media)) = magic {
        return Some(media);
    }
    if !is_text {
        return None;
    }
    let text = String::from_utf8_lossy(bytes.get(..256).unwrap_or(bytes)).to_ascii_lowercase();
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let known = TEXTS.iter().find(|(start, _)| text.starts_with(start)).map(|(_, media)| *media);
    match known {
        Some("application/xml") if memchr::memmem::find(bytes, b"<svg").is_some() => Some("image/svg+xml"),
        Some(media) => Some(media),
        None => (!text.is_empty()).then_some("text/plain"),
    }
}

/// Whether it is UTF-8, a letter cut at the end apart, without control characters.
fn is_text(bytes: &[u8]) -> bool {
    let is_utf_8 = std::str::from_utf8(bytes).err().is_none_or(|error| error.error_len().is_none());
    is_utf_8 && bytes.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace() || *byte == 0x1b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_are_known_by_their_octets() {
        for (bytes, media) in [
            (&b"%PDF-1.7\n"[..], Some("application/pdf")),
            (b"MZ\x90\0\x03", Some("application/vnd.microsoft.portable-executable")),
            (b"MZ is a short word", Some("text/plain")),
            (b"PK\x03\x04\x14\0...[Content_Types].xml...word/document.xml", Some(ZIPPED[4].1)),
            (b"PK\x03\x04\x14\0...mimetypeapplication/epub+zip", Some("application/epub+zip")),
            (b"PK\x03\x04\x14\0...a.txt", Some("application/zip")),
            (b"\xef\xbb\xbf \r\n<!DOCTYPE HTML>", Some("text/html")),
            (b"<?xml version='1.0'?><svg xmlns='x'>", Some("image/svg+xml")),
            (b"BEGIN:VCALENDAR\r\n", Some("text/calendar")),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest", Some("application/x-ole-storage")),
            (b"RIFF\0\0\0\0WEBPVP8 ", Some("image/webp")),
            ("Grüße".as_bytes(), Some("text/plain")),
            (b"\x01\x02\x03", None),
            (b"", None),
        ] {
            assert_eq!(media_type(bytes), media, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_looked_at(bytes: Vec<u8>) {
            media_type(&bytes);
        }
    }
}
