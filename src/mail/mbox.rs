//! Messages in one file, as Unix mail programs keep them: mbox, line by line.
//!
//! Pure: a line goes in, and what it is comes out, so that a file of any size is read in one pass and nothing of it is kept.
//! It must never change a line but for the quoting that the format added.
//!
//! Standards: RFC 4155 (the format, and that it has variants); `mboxrd` and `mboxo` as qmail's mbox(5) names them.

/// How lines that begin with `From ` are kept inside a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quoting {
    /// `>` before `From `, and one more before what was quoted already: nothing is lost.
    Mboxrd,
    /// `>` before `From ` alone: what stood there as `>From ` cannot be told any more.
    Mboxo,
    /// None: messages are separated by their dates alone.
    None,
}

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A message begins; its sender as the separator names it.
    Separator(&'a [u8]),
    /// A line of the message, and the empty line before it that was held back.
    Text(Option<&'a [u8]>, &'a [u8]),
    /// It is decided about with the next one.
    Held,
    /// A line before the first message: this is no mbox.
    Stray,
}

/// Tells messages apart.
#[derive(Debug)]
pub struct Splitter {
    quoting: Quoting,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first message.
    Start,
    /// The last line was not empty, or was the separator.
    Inside,
    /// The last line was empty, and may belong to the separator that follows. With its CR or without.
    Empty { with_cr: bool },
}

impl Splitter {
    /// At the beginning of a file, or of a message in it.
    #[must_use]
    pub const fn new(quoting: Quoting) -> Self {
        Self { quoting, state: State::Start }
    }

    /// The next line with its end, or a piece of one; `is_start` where it begins a line.
    pub fn line<'a>(&mut self, line: &'a [u8], is_start: bool) -> Piece<'a> {
        let may_separate = matches!(self.state, State::Start | State::Empty { .. });
        if is_start
            && may_separate
            && let Some(sender) = separator(line)
        {
            self.state = State::Inside;
            return Piece::Separator(sender);
        }
        let held: Option<&'static [u8]> = match self.state {
            State::Start => return Piece::Stray,
            State::Inside => None,
            State::Empty { with_cr: true } => Some(b"\r\n"),
            State::Empty { with_cr: false } => Some(b"\n"),
        };
        if is_start && matches!(line, b"\n" | b"\r\n") {
            self.state = State::Empty { with_cr: line.len() == 2 };
            // Of several empty lines the last alone may be the format's.
            return held.map_or(Piece::Held, |held| Piece::Text(None, held));
        }
        self.state = State::Inside;
        Piece::Text(held, if is_start { self.unquoted(line) } else { line })
    }

    fn unquoted<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        let Some(rest) = line.strip_prefix(b">") else { return line };
        let quoted = match self.quoting {
            Quoting::Mboxrd => rest.trim_prefix_all(b'>'),
            Quoting::Mboxo => rest,
            Quoting::None => return line,
        };
        if quoted.starts_with(b"From ") { rest } else { line }
    }
}

trait TrimPrefix {
    /// Without the octets `octet` at the beginning.
    fn trim_prefix_all(&self, octet: u8) -> &Self;
}

impl TrimPrefix for [u8] {
    fn trim_prefix_all(&self, octet: u8) -> &Self {
        let begin = self.iter().position(|byte| *byte != octet).unwrap_or(self.len());
        self.get(begin..).unwrap_or_default()
    }
}

/// The sender of a separator, `From SENDER DATE` (RFC 4155); a line without a time of day is text.
fn separator(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"From ")?;
    let is_time = |word: &[u8]| {
        word.get(2) == Some(&b':') && word.len() >= 5 && word.iter().all(|byte| byte.is_ascii_digit() || *byte == b':')
    };
    let mut words = rest.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    let sender = words.next()?;
    words.any(is_time).then_some(sender)
}

/// Whether a file that begins so is an mbox.
#[must_use]
pub fn is_mbox(beginning: &[u8]) -> bool {
    let line = beginning.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    separator(line).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The messages of a file, read in pieces of at most `most` octets.
    fn split(file: &[u8], quoting: Quoting, most: usize) -> Vec<Vec<u8>> {
        let mut splitter = Splitter::new(quoting);
        let mut messages: Vec<Vec<u8>> = Vec::new();
        for line in file.split_inclusive(|byte| *byte == b'\n') {
            for (number, piece) in line.chunks(most).enumerate() {
                match splitter.line(piece, number == 0) {
                    Piece::Separator(_) => messages.push(Vec::new()),
                    Piece::Text(held, text) => {
                        let message = messages.last_mut().unwrap();
                        message.extend_from_slice(held.unwrap_or_default());
                        message.extend_from_slice(text);
                    }
                    Piece::Held => {}
                    Piece::Stray => return messages,
                }
            }
        }
        messages
    }

    fn texts(file: &str, quoting: Quoting) -> Vec<String> {
        split(file.as_bytes(), quoting, 4096).into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect()
    }

    const TWO: &str = "From ann@lake.example Mon Nov 23 09:01:00 2026\nSubject: 1\n\nOne\n\n\n\
                       From - Mon Nov 23 09:02 2026 +0000\nSubject: 2\n\nTwo\n\n";

    #[test]
    fn messages_are_told_apart_and_the_empty_line_between_them_is_not_theirs() {
        assert_eq!(texts(TWO, Quoting::Mboxrd), ["Subject: 1\n\nOne\n\n", "Subject: 2\n\nTwo\n"]);
        let with_cr = TWO.replace('\n', "\r\n");
        assert_eq!(texts(&with_cr, Quoting::Mboxrd), ["Subject: 1\r\n\r\nOne\r\n\r\n", "Subject: 2\r\n\r\nTwo\r\n"]);
        let mut splitter = Splitter::new(Quoting::Mboxrd);
        assert_eq!(
            splitter.line(b"From ann@lake.example Mon Nov 23 09:01:00 2026\n", true),
            Piece::Separator(b"ann@lake.example")
        );
    }

    #[test]
    fn what_only_looks_like_a_separator_is_text() {
        let start = "From ann@lake.example Mon Nov 23 09:01:00 2026\n\n";
        for text in [
            "One\nFrom bob@lake.example Mon Nov 23 09:01:00 2026\n",
            "\nFrom here on it is text\n",
            "\n From x 09:00\n",
        ] {
            assert_eq!(texts(&format!("{start}{text}"), Quoting::Mboxrd), [format!("\n{text}")], "{text}");
        }
        assert!(is_mbox(TWO.as_bytes()) && !is_mbox(b"From: ann@lake.example\n") && !is_mbox(b""));
        assert!(texts("Subject: no mbox\n\nFrom x 09:00\n", Quoting::Mboxrd).is_empty());
    }

    #[test]
    fn quoting_is_undone_as_it_was_done() {
        let file = "From a 09:00\n\n>From x\n>>From x\n> From x\n>Fromage\n";
        assert_eq!(texts(file, Quoting::Mboxrd), ["\nFrom x\n>From x\n> From x\n>Fromage\n"]);
        assert_eq!(texts(file, Quoting::Mboxo), ["\nFrom x\n>>From x\n> From x\n>Fromage\n"]);
        assert_eq!(texts(file, Quoting::None), ["\n>From x\n>>From x\n> From x\n>Fromage\n"]);
    }

    /// As mboxrd writes it.
    fn written(messages: &[String]) -> String {
        let line = |line: &str| {
            let quote = if line.trim_start_matches('>').starts_with("From ") { ">" } else { "" };
            format!("{quote}{line}")
        };
        let message = |text: &String| {
            let text: String = text.split_inclusive('\n').map(line).collect();
            format!("From a@b.example Mon Nov 23 09:01:00 2026\n{text}\n")
        };
        messages.iter().map(message).collect()
    }

    proptest! {
        #[test]
        fn what_mboxrd_holds_comes_out_as_it_went_in(
            messages in prop::collection::vec(
                prop::collection::vec(prop::sample::select(vec!["", "text", "From a 09:00", ">From a 09:00", ">>From x", ">", "\r", "long line"]), 1..8)
                    .prop_map(|lines| lines.join("\n") + "\n"),
                0..5,
            ),
            most in 10_usize..20,
        ) {
            let file = written(&messages);
            let found: Vec<String> = split(file.as_bytes(), Quoting::Mboxrd, 4096).into_iter().map(|bytes| String::from_utf8(bytes).unwrap()).collect();
            prop_assert_eq!(&found, &messages);
            // Cutting a line changes what a separator is, and nothing else.
            let _ = split(file.as_bytes(), Quoting::Mboxrd, most);
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300), most in 1_usize..50) {
            split(&bytes, Quoting::Mboxrd, most);
        }
    }
}
