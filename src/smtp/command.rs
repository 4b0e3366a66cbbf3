//! One command line into a command, with smtp-proto's grammar where it is exact.
//!
//! Verbs are read by smtp-proto. Paths, parameters and BDAT sizes are read here: smtp-proto takes `<postmaster>` for
//! `<>`, drops the quotes of a local-part, and starts a size anew after twenty digits.
//!
//! Standards: RFC 5321 §4.1.1 (commands), §4.1.2 (paths), appendix C (source routes), RFC 3030 (BDAT), RFC 1870 (SIZE).

use smtp_proto::{Error, Request};

use crate::mail::address::{Mailbox, ReversePath};
use crate::smtp::reply::{self, Reply};

mod parameters;

pub(super) use parameters::{MailParameters, RcptParameters};

/// A command that this server has.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Ehlo(Box<str>),
    Helo(Box<str>),
    Lhlo(Box<str>),
    Mail(Box<MailCommand>),
    Rcpt(Box<RcptCommand>),
    Data,
    Bdat { size: u64, last: Chunk },
    Rset,
    Noop,
    Quit,
    Vrfy,
    Help,
    StartTls,
    Auth { mechanism: Box<str>, initial: Option<Box<str>> },
}

impl Command {
    /// Whether it brings no message nearer, however often it is said.
    pub(super) const fn is_idle(&self) -> bool {
        match self {
            Self::Ehlo(_) | Self::Helo(_) | Self::Lhlo(_) | Self::Rset | Self::Noop | Self::Vrfy | Self::Help => true,
            Self::Mail(_)
            | Self::Rcpt(_)
            | Self::Data
            | Self::Bdat { .. }
            | Self::Quit
            | Self::StartTls
            | Self::Auth { .. } => false,
        }
    }
}

/// Which chunk of a message a BDAT brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    More,
    Last,
}

/// MAIL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MailCommand {
    pub(super) reverse_path: ReversePath,
    /// Whether the path has characters outside ASCII.
    pub(super) is_international: bool,
    pub(super) parameters: MailParameters,
}

/// RCPT.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RcptCommand {
    pub(super) path: ForwardPathName,
    /// Whether the path has characters outside ASCII.
    pub(super) is_international: bool,
    pub(super) parameters: RcptParameters,
}

/// The forward-path of a RCPT.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ForwardPathName {
    Postmaster,
    Mailbox(Mailbox),
}

/// Why a line is no command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Answer and go on.
    Reply(Reply),
    /// A BDAT of unknown size: where its octets end cannot be known.
    FramingLost,
    /// Another protocol, whose next lines are somebody's data and no commands.
    Http,
}

impl From<Reply> for Fault {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// Reads a line without its CRLF.
pub(super) fn parse(text: &str) -> Result<Command, Fault> {
    let (verb, arguments) = text.split_once(' ').unwrap_or((text, ""));
    if verb.eq_ignore_ascii_case("MAIL") {
        return parse_mail(arguments).map(|mail| Command::Mail(Box::new(mail))).map_err(Fault::Reply);
    }
    if verb.eq_ignore_ascii_case("RCPT") {
        return parse_rcpt(arguments).map(|rcpt| Command::Rcpt(Box::new(rcpt))).map_err(Fault::Reply);
    }
    if verb.eq_ignore_ascii_case("AUTH") {
        return parse_auth(arguments);
    }
    if verb.eq_ignore_ascii_case("BDAT") {
        return parse_bdat(arguments);
    }
    if HTTP_METHODS.contains(&verb) && arguments.contains(" HTTP/") {
        return Err(Fault::Http);
    }
    let line = format!("{text}\n");
    let request = Request::parse(&mut line.as_bytes().iter());
    // RFC 5321 §4.1.1.4, RFC 3207 §4: no arguments.
    let has_arguments = !arguments.trim().is_empty();
    let bare = |command| if has_arguments { Err(reply::BAD_ARGUMENTS.into()) } else { Ok(command) };
    match request {
        Ok(Request::Ehlo { host }) => Ok(Command::Ehlo(host.into())),
        Ok(Request::Helo { host }) => Ok(Command::Helo(host.into())),
        Ok(Request::Lhlo { host }) => Ok(Command::Lhlo(host.into())),
        Ok(Request::Data) => bare(Command::Data),
        Ok(Request::Rset) => bare(Command::Rset),
        Ok(Request::Quit) => bare(Command::Quit),
        Ok(Request::StartTls) => bare(Command::StartTls),
        Ok(Request::Noop { .. }) => Ok(Command::Noop),
        Ok(Request::Vrfy { .. }) => Ok(Command::Vrfy),
        Ok(Request::Help { .. }) => Ok(Command::Help),
        Ok(Request::Expn { .. }) => Err(reply::NO_EXPANSION.into()),
        Ok(Request::Etrn { .. } | Request::Atrn { .. } | Request::Burl { .. }) => Err(reply::NOT_IMPLEMENTED.into()),
        Err(Error::SyntaxError { .. } | Error::InvalidParameter { .. }) if is_helo(verb) => Err(reply::BAD_HELO.into()),
        Err(Error::SyntaxError { .. } | Error::InvalidParameter { .. }) => Err(reply::BAD_ARGUMENTS.into()),
        Ok(_) | Err(_) => Err(reply::UNKNOWN_COMMAND.into()),
    }
}

/// RFC 9110 §9.3, RFC 9113 §3.4 (`PRI`); the case matters there.
const HTTP_METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI"];

fn is_helo(verb: &str) -> bool {
    ["EHLO", "HELO", "LHLO"].iter().any(|helo| verb.eq_ignore_ascii_case(helo))
}

fn parse_mail(arguments: &str) -> Result<MailCommand, Reply> {
    let (path, parameters) = split_path(arguments, "FROM:").ok_or(reply::BAD_SENDER)?;
    let reverse_path = match strip_route(path) {
        Some("") if path.is_empty() => ReversePath::Null,
        Some(address) => ReversePath::Mailbox(Mailbox::parse(address).map_err(|_| reply::BAD_SENDER)?),
        None => return Err(reply::BAD_SENDER),
    };
    Ok(MailCommand { reverse_path, is_international: !path.is_ascii(), parameters: parameters::of_mail(parameters)? })
}

fn parse_rcpt(arguments: &str) -> Result<RcptCommand, Reply> {
    let (path, parameters) = split_path(arguments, "TO:").ok_or(reply::BAD_RECIPIENT)?;
    let parameters = parameters::of_rcpt(parameters)?;
    // RFC 5321 §4.1.1.3, §4.5.1: postmaster needs no domain.
    let path_name = if path.eq_ignore_ascii_case("postmaster") {
        ForwardPathName::Postmaster
    } else {
        let address = strip_route(path).ok_or(reply::BAD_RECIPIENT)?;
        ForwardPathName::Mailbox(Mailbox::parse(address).map_err(|_| reply::BAD_RECIPIENT)?)
    };
    Ok(RcptCommand { path: path_name, is_international: !path.is_ascii(), parameters })
}

/// What is between the angle brackets behind `FROM:` or `TO:`, and the parameters behind them. Spaces before the path
/// are let pass, as many senders put one there.
fn split_path<'a>(arguments: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (head, rest) = arguments.trim_start_matches(' ').split_at_checked(keyword.len())?;
    let rest = rest.trim_start_matches(' ').strip_prefix('<').filter(|_| head.eq_ignore_ascii_case(keyword))?;
    let mut quoting = Quoting::Outside;
    let end = rest.find(|letter| quoting.closes_path(letter))?;
    let (path, rest) = rest.split_at_checked(end)?;
    let parameters = rest.strip_prefix('>')?;
    (parameters.is_empty() || parameters.starts_with(' ')).then_some((path, parameters))
}

/// Where in a quoted string a letter stands (RFC 5321 §4.1.2).
enum Quoting {
    Outside,
    Inside,
    Escaped,
}

impl Quoting {
    /// Goes on by one letter; whether it is the `>` that ends the path.
    fn closes_path(&mut self, letter: char) -> bool {
        *self = match (&self, letter) {
            (Self::Outside, '>') => return true,
            (Self::Outside, '"') => Self::Inside,
            (Self::Outside, _) | (Self::Inside, '"') => Self::Outside,
            (Self::Inside, '\\') => Self::Escaped,
            (Self::Inside | Self::Escaped, _) => Self::Inside,
        };
        false
    }
}

/// The address behind a source route, which is read and left out (RFC 5321 appendix C); `None` when the route has no end.
fn strip_route(path: &str) -> Option<&str> {
    if !path.starts_with('@') {
        return Some(path);
    }
    let (route, address) = path.split_once(':')?;
    let is_route = route.split(',').all(|hop| hop.strip_prefix('@').is_some_and(|domain| !domain.is_empty()));
    (is_route && !address.is_empty()).then_some(address)
}

/// RFC 4954 §4: `AUTH SP mechanism [SP initial-response]`.
fn parse_auth(arguments: &str) -> Result<Command, Fault> {
    let mut words = arguments.split(' ').filter(|word| !word.is_empty());
    match (words.next(), words.next(), words.next()) {
        (Some(mechanism), initial, None) => {
            Ok(Command::Auth { mechanism: mechanism.into(), initial: initial.map(Into::into) })
        }
        _ => Err(reply::BAD_ARGUMENTS.into()),
    }
}

/// RFC 3030 §2: `BDAT SP chunk-size [SP "LAST"]`. Anything after a readable size keeps the framing, nothing else does.
fn parse_bdat(arguments: &str) -> Result<Command, Fault> {
    let mut words = arguments.split(' ').filter(|word| !word.is_empty());
    let size = words.next().unwrap_or_default();
    // 18 digits always fit; a sign, which `parse` would take, is no digit.
    if size.len() > 18 || !size.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Fault::FramingLost);
    }
    let size = size.parse().map_err(|_| Fault::FramingLost)?;
    match (words.next(), words.next()) {
        (None, None) => Ok(Command::Bdat { size, last: Chunk::More }),
        (Some(word), None) if word.eq_ignore_ascii_case("LAST") => Ok(Command::Bdat { size, last: Chunk::Last }),
        _ => Err(Fault::FramingLost),
    }
}

#[cfg(test)]
mod tests;
