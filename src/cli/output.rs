//! How commands answer: a table or lines for people, one JSON value for programs.
//!
//! The answer goes to standard output, everything else to standard error. Colours only on a terminal, and not where
//! `NO_COLOR` is set.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::exit::{CliError, Exit};
use crate::config::show;

/// Where a command writes its answer.
pub struct Output {
    json: bool,
    colour: bool,
    answer: Box<dyn Write + Send>,
    notes: Box<dyn Write + Send>,
}

/// What a coloured text tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// A heading.
    Heading,
    /// It went well.
    Good,
    /// Someone should look.
    Bad,
    /// Less important.
    Faint,
}

impl Output {
    /// Standard output and standard error of this process.
    #[must_use]
    pub fn standard(json: bool) -> Self {
        let terminal = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        Self {
            json,
            colour: terminal && !json,
            answer: Box::new(std::io::stdout()),
            notes: Box::new(std::io::stderr()),
        }
    }

    /// Any two writers, without colours: for tests and for the benchmark's own use.
    #[must_use]
    pub fn to(json: bool, answer: Box<dyn Write + Send>, notes: Box<dyn Write + Send>) -> Self {
        Self { json, colour: false, answer, notes }
    }

    /// Whether the answer is to be JSON.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// The answer as one JSON value, or as what `people` prints.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn answer<T: Serialize>(
        &mut self,
        value: &T,
        people: impl FnOnce(&mut Self) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        if self.json { self.json_line(value) } else { people(self) }
    }

    /// One JSON value on a line of its own, whatever was asked for: for streams.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn json_line<T: Serialize>(&mut self, value: &T) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(anyhow::Error::new)?;
        writeln!(self.answer, "{text}")?;
        Ok(self.answer.flush()?)
    }

    /// A line for people; control characters are made visible.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn line(&mut self, text: &str) -> Result<(), CliError> {
        writeln!(self.answer, "{}", visible(text))?;
        Ok(())
    }

    /// A coloured line for people; control characters are made visible.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn tinted(&mut self, tone: Tone, text: &str) -> Result<(), CliError> {
        let text = self.tint(tone, &visible(text));
        writeln!(self.answer, "{text}")?;
        Ok(())
    }

    /// A table for people.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn table(&mut self, table: &Table) -> Result<(), CliError> {
        for (index, line) in table.lines().iter().enumerate() {
            let line = if index == 0 { self.tint(Tone::Heading, line) } else { line.clone() };
            writeln!(self.answer, "{line}")?;
        }
        Ok(())
    }

    /// Bytes exactly as they are: a raw message.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.answer.write_all(bytes)?;
        Ok(self.answer.flush()?)
    }

    /// A remark on standard error, not part of the answer.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.notes, "{}", visible(text));
    }

    /// Tells on standard error why the command did not work.
    pub fn fail(&mut self, error: &CliError) -> ExitCode {
        let exit = error.exit();
        if exit != Exit::Done {
            let text = match error {
                _ if !self.json => {
                    error.to_string().lines().map(|line| format!("connex: {}\n", visible(line))).collect()
                }
                CliError::Configuration(faults) => format!("{}\n", show::faults_to_json(faults.iter())),
                _ => {
                    let error = serde_json::json!({ "code": exit.word(), "message": error.to_string() });
                    format!("{}\n", serde_json::json!({ "ok": false, "error": error }))
                }
            };
            let _ = self.notes.write_all(text.as_bytes());
        }
        exit.into()
    }

    fn tint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Heading => "1",
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Faint => "2",
        };
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Rows under headings, in columns as wide as their widest cell.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    #[must_use]
    pub fn new<const N: usize>(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(str::to_owned).to_vec()] }
    }

    /// Adds a row; control characters are made visible.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| visible(&cell)).to_vec());
    }

    fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

/// Control characters, and those that turn the direction of writing, as escapes.
fn visible(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_by_mail_cannot_write_to_the_terminal() {
        assert_eq!(visible("a\u{1b}]0;x\u{7}\r\nb\u{202e}ü"), "a\\u{1b}]0;x\\u{7}\\r\\nb\\u{202e}ü");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["ID", "NAME"]);
        table.row(["ten_1".to_owned(), "Müller".to_owned()]);
        table.row(["t".to_owned(), String::new()]);
        assert_eq!(table.lines(), ["ID     NAME", "ten_1  Müller", "t"]);
    }

    #[test]
    fn only_a_terminal_gets_colours() {
        let mut out = Output::to(false, Box::new(std::io::sink()), Box::new(std::io::sink()));
        assert_eq!(out.tint(Tone::Bad, "x"), "x");
        out.colour = true;
        assert_eq!(out.tint(Tone::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
    }

    #[test]
    fn a_reader_that_is_gone_is_no_failure() {
        let error = CliError::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(error.exit(), Exit::Done);
        let error = CliError::from(std::io::Error::from(std::io::ErrorKind::StorageFull));
        assert_eq!(error.exit(), Exit::Failed);
    }
}
