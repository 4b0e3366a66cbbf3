//! Line ends of files as mail has them on its way.
//!
//! Files of Unix programs end lines with LF alone, where mail ends them with CRLF (RFC 5321 §2.3.8). A CR that is there
//! already stays, so that what came with CRLF is not changed by an octet.

/// Gives every bare LF its CR, whatever pieces the bytes come in.
#[derive(Debug, Default)]
pub struct ToCrlf {
    is_after_cr: bool,
}

impl ToCrlf {
    /// Appends `bytes` to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(line) => {
                    let has_cr = line.last().map_or(self.is_after_cr, |last| *last == b'\r');
                    out.extend_from_slice(line);
                    out.extend_from_slice(if has_cr { b"\n" } else { b"\r\n" });
                    self.is_after_cr = false;
                }
                None => {
                    out.extend_from_slice(piece);
                    self.is_after_cr = piece.last() == Some(&b'\r');
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(pieces: &[&[u8]]) -> Vec<u8> {
        let (mut ends, mut out) = (ToCrlf::default(), Vec::new());
        pieces.iter().for_each(|piece| ends.push(piece, &mut out));
        out
    }

    #[test]
    fn every_bare_line_feed_gets_its_carriage_return() {
        assert_eq!(whole(&[b"a\nb\r\n\n\r\nc"]), b"a\r\nb\r\n\r\n\r\nc");
        assert_eq!(whole(&[b"a\rb\r\r\n"]), b"a\rb\r\r\n");
    }

    proptest! {
        #[test]
        fn pieces_change_nothing_and_once_is_enough(bytes in prop::collection::vec(prop::sample::select(b"a\r\n".to_vec()), 0..40), cut in 0_usize..40) {
            let (front, back) = bytes.split_at(cut.min(bytes.len()));
            let out = whole(&[&bytes]);
            prop_assert_eq!(&whole(&[front, back]), &out);
            prop_assert_eq!(&whole(&[&out]), &out);
        }
    }
}
