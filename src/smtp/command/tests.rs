//! Lines and the commands they are.

use super::*;
use crate::mail::envelope::BodyKind;

fn fault(text: &str) -> Reply {
    match parse(text) {
        Err(Fault::Reply(reply)) => reply,
        other => panic!("{text:?} is {other:?}"),
    }
}

fn mail(text: &str) -> MailCommand {
    match parse(text) {
        Ok(Command::Mail(mail)) => *mail,
        other => panic!("{text:?} is {other:?}"),
    }
}

fn rcpt(text: &str) -> String {
    match parse(text) {
        Ok(Command::Rcpt(rcpt)) => match rcpt.path {
            ForwardPathName::Postmaster => "postmaster".to_owned(),
            ForwardPathName::Mailbox(mailbox) => mailbox.to_string(),
        },
        other => panic!("{text:?} is {other:?}"),
    }
}

#[test]
fn verbs_are_read_in_any_case() {
    assert_eq!(parse("eHlO Client.Example"), Ok(Command::Ehlo("Client.Example".into())));
    assert_eq!(parse("data"), Ok(Command::Data));
    assert_eq!(parse("noop what ever"), Ok(Command::Noop));
    assert_eq!(parse("help mail"), Ok(Command::Help));
    assert_eq!(parse("bdat 5 last"), Ok(Command::Bdat { size: 5, last: Chunk::Last }));
}

#[test]
fn what_is_no_command_has_its_own_answer() {
    for (text, reply) in [
        ("", reply::UNKNOWN_COMMAND),
        ("GET /", reply::UNKNOWN_COMMAND),
        ("LHLO", reply::BAD_HELO),
        ("EHLO", reply::BAD_HELO),
        ("EHLO ", reply::BAD_HELO),
        ("DATA now", reply::BAD_ARGUMENTS),
        ("STARTTLS now", reply::BAD_ARGUMENTS),
        ("EXPN list", reply::NO_EXPANSION),
        ("AUTH", reply::BAD_ARGUMENTS),
        ("AUTH PLAIN AAAA AAAA", reply::BAD_ARGUMENTS),
        ("ETRN example.org", reply::NOT_IMPLEMENTED),
        ("MAIL", reply::BAD_SENDER),
        ("MAIL FROM:a@b", reply::BAD_SENDER),
        ("MAIL FROM:<a@b", reply::BAD_SENDER),
        ("MAIL FROM:<a@b>x", reply::BAD_SENDER),
        ("MAIL FROM:<postmaster>", reply::BAD_SENDER),
        ("RCPT TO:<>", reply::BAD_RECIPIENT),
        ("RCPT TO:<a>", reply::BAD_RECIPIENT),
        ("RCPT TO:<@relay:>", reply::BAD_RECIPIENT),
        ("RCPT FROM:<a@b>", reply::BAD_RECIPIENT),
    ] {
        assert_eq!(fault(text), reply, "{text:?}");
    }
}

#[test]
fn only_the_empty_path_is_the_null_reverse_path() {
    assert_eq!(mail("MAIL FROM:<>").reverse_path, ReversePath::Null);
    assert_eq!(mail("mail from: <A@B.example>").reverse_path.to_string(), "A@b.example");
}

#[test]
fn postmaster_needs_no_domain() {
    assert_eq!(rcpt("RCPT TO:<PostMaster>"), "postmaster");
    assert_eq!(rcpt("RCPT TO:<postmaster@b.example>"), "postmaster@b.example");
}

#[test]
fn source_routes_are_left_out() {
    assert_eq!(rcpt("RCPT TO:<@one.example,@two.example:a@b.example>"), "a@b.example");
    assert_eq!(mail("MAIL FROM:<@one.example:a@b.example>").reverse_path.to_string(), "a@b.example");
}

#[test]
fn quoted_local_parts_keep_their_meaning() {
    assert_eq!(rcpt(r#"RCPT TO:<"a> b\"c"@d.example>"#), r#""a> b\"c"@d.example"#);
    assert_eq!(rcpt(r#"RCPT TO:<"a@x"@d.example>"#), r#""a@x"@d.example"#);
}

#[test]
fn parameters_that_were_announced_are_taken_and_others_refused() {
    let command = mail("MAIL FROM:<a@b> SIZE=12 body=8bitmime SMTPUTF8");
    let read = command.parameters;
    assert_eq!((read.size, read.body, read.smtputf8), (Some(12), BodyKind::EightBitMime, true));
    assert_eq!(mail("MAIL FROM:<a@b>  ").parameters.size, None);
    assert_eq!(fault("MAIL FROM:<a@b> FOO=bar"), reply::UNKNOWN_PARAMETER);
    assert_eq!(fault("RCPT TO:<a@b> FOO"), reply::UNKNOWN_PARAMETER);
    assert_eq!(fault("MAIL FROM:<a@b> BODY=9BIT"), reply::BAD_ARGUMENTS);
}

#[test]
fn what_http_begins_with_is_no_command() {
    for text in ["GET / HTTP/1.1", "POST /x HTTP/1.0", "CONNECT mx.example:25 HTTP/1.1", "PRI * HTTP/2.0"] {
        assert_eq!(parse(text), Err(Fault::Http), "{text:?}");
    }
}

#[test]
fn a_size_that_no_number_holds_is_as_large_as_can_be() {
    assert_eq!(mail("MAIL FROM:<a@b> SIZE=184467440737095516150001").parameters.size, Some(u64::MAX));
}

#[test]
fn a_chunk_size_is_exact_or_the_framing_is_lost() {
    assert_eq!(parse("BDAT 0"), Ok(Command::Bdat { size: 0, last: Chunk::More }));
    assert_eq!(parse("BDAT  7  LAST"), Ok(Command::Bdat { size: 7, last: Chunk::Last }));
    for text in ["BDAT", "BDAT x", "BDAT -1", "BDAT +1", "BDAT 1x", "BDAT 1 LOST", "BDAT 1 LAST 2", "BDAT LAST"] {
        assert_eq!(parse(text), Err(Fault::FramingLost), "{text:?}");
    }
    assert_eq!(parse("BDAT 184467440737095516150005"), Err(Fault::FramingLost));
}
