//! `smtp-sink` at the other end: refusals, deferrals and lost connections at each step of a session.

use std::net::SocketAddr;

use super::{Addresses, directly, domain_at, draft_state, told, tried};
use crate::domains::fresh_domain;
use crate::harness::{Counts, Engine, SmtpSink, wait_for, zone};
use crate::sending::Sender;

/// What a server does at a step: it refuses for good, for now, closes with a word, or without one; and what is told of it.
const WAYS: [(&str, &str); 4] =
    [("-f", "500 5.3.0 Error"), ("-r", "450 4.3.0 Error"), ("-Q", "421 4.0.0 Server closing"), ("-q", "closed")];

/// What becomes of mail to a server that does so at a step, in the order of [`WAYS`], and with which options beside.
const STEPS: [(&str, [&str; 4], &[&str]); 8] = [
    // RFC 5321 §3.1 and §3.8: before MAIL nothing was said of the message, and another time may be better.
    ("connect", ["deferred"; 4], &[]),
    // RFC 5321 §3.2: without extensions it goes as well.
    ("ehlo", ["accepted", "deferred", "deferred", "deferred"], &[]),
    ("helo", ["deferred"; 4], &["-f", "ehlo"]),
    ("mail", ["rejected", "deferred", "deferred", "deferred"], &[]),
    ("rcpt", ["rejected", "deferred", "deferred", "deferred"], &[]),
    ("data", ["rejected", "deferred", "deferred", "deferred"], &[]),
    // Behind the final dot silence is no answer, and one of any kind is.
    (".", ["rejected", "deferred", "deferred", "unknown"], &[]),
    // RFC 5321 §4.1.1.10: the message was taken before.
    ("quit", ["accepted"; 4], &[]),
];

/// A server, what it is called here, and what is expected of mail to it.
struct Case {
    what: String,
    options: Vec<&'static str>,
    state: &'static str,
    said: &'static str,
    /// Whether the final dot gets there.
    is_ended: bool,
}

fn cases() -> Vec<Case> {
    let of_steps = STEPS.into_iter().flat_map(|(step, states, beside)| {
        WAYS.into_iter().zip(states).map(move |((way, said), state)| {
            let options = [beside, &[way, step]].concat();
            let is_accepted = state == "accepted";
            let said = if is_accepted { "250 2.0.0 Ok" } else { said };
            Case { what: options.join(" "), options, state, said, is_ended: is_accepted || step == "." }
        })
    });
    let others: [(&[&str], _, _, _); 5] = [
        // RFC 7504: there is no mail service at all.
        (&["-B", "521 5.3.2 No mail here", "-f", "connect"], "rejected", "521 5.3.2 No mail here", false),
        // It has had enough while it is told the message.
        (&["-A", "0"], "rejected", "550 This violates SMTP", false),
        // As behind a firewall that hides what the server is and can.
        (&["-P"], "accepted", "250 2.0.0 Ok", true),
        (&["-p"], "accepted", "250 2.0.0 Ok", true),
        (&["-8"], "accepted", "250 2.0.0 Ok", true),
    ];
    let others = others.into_iter().map(|(options, state, said, is_ended)| {
        let what = options.join(" ");
        Case { what, options: options.to_vec(), state, said, is_ended }
    });
    of_steps.chain(others).collect()
}

#[test]
fn smtp_sink_refuses_defers_and_hangs_up_at_each_step_and_each_ends_as_the_standard_says() {
    let cases = cases();
    let at = Addresses::of(cases.len());
    let sinks: Vec<SmtpSink> =
        cases.iter().zip(at.iter()).map(|(case, address)| SmtpSink::start(*address, &case.options)).collect();
    let more = format!("{}mta_sts = false\nworkers = 8\nmessages_per_connection = 1\n", directly(at.port()));
    let sender = Sender::new(Engine::Sqlite, &more);
    let to = at.iter().map(|address| format!("ann@{}", domain_at(zone(), address.ip())));
    let drafts: Vec<String> = to.map(|to| sender.release(&[&to])).collect();
    for (case, draft) in cases.iter().zip(&drafts) {
        let shown = tried(&sender, draft, 1);
        let [state, of_draft, reply] = told(&shown);
        assert_eq!((state, of_draft), (case.state, draft_state(case.state)), "{}: {shown}", case.what);
        assert!(reply.contains(case.said), "{}: {reply}", case.what);
        let is_next = shown["transmissions"][0]["nextAttemptAt"].is_string();
        assert_eq!(is_next, case.state == "deferred", "{}: {shown}", case.what);
    }
    // Only what was put off is tried again, and what nobody knows of is not.
    sender.gateway.alter("UPDATE transmissions SET next_attempt_at = 1");
    let attempts = |case: &Case| if case.state == "deferred" { 2 } else { 1 };
    for ((case, draft), sink) in cases.iter().zip(&drafts).zip(&sinks) {
        let shown = tried(&sender, draft, attempts(case));
        assert_eq!(told(&shown)[0], case.state, "{}: {shown}", case.what);
        let expected = Counts { sessions: attempts(case), messages: if case.is_ended { attempts(case) } else { 0 } };
        // What is counted is written when a session is over, which may be after the answer.
        wait_for(&format!("{expected:?} with {}: {:?}", case.what, sink.counts()), || {
            (sink.counts() == expected).then_some(())
        });
    }
}

#[test]
fn a_server_that_wants_no_second_message_on_a_connection_gets_it_on_another() {
    let at = Addresses::of(5);
    let sinks: Vec<SmtpSink> = WAYS
        .iter()
        .map(|(way, _)| vec![*way, "rset"])
        .chain([Vec::new()])
        .zip(at.iter())
        .map(|(options, address)| SmtpSink::start(*address, &options))
        .collect();
    let sender = Sender::new(Engine::Sqlite, &format!("{}mta_sts = false\n", directly(at.port())));
    for (number, (sink, address)) in sinks.iter().zip(at.iter()).enumerate() {
        let to = format!("ann@{}", domain_at(zone(), address.ip()));
        for count in 1..=2 {
            let shown = tried(&sender, &sender.release(&[&to]), 1);
            assert_eq!(told(&shown)[..2], ["accepted", "sent"], "{number}: {shown}");
            sink.until(count);
        }
        let is_kept = number == WAYS.len();
        if is_kept {
            assert_eq!(sink.counts().sessions, 0, "both went over one connection");
        } else {
            wait_for("the end of the first connection", || (sink.counts().sessions >= 1).then_some(()));
        }
    }
}

#[test]
fn the_next_server_is_tried_where_the_first_decided_nothing_and_none_behind_the_dot() {
    // At the first address nobody listens, at the last the second server of each domain.
    let firsts: [(&[&str], &str); 13] = [
        (&[], "accepted"),
        (&["-f", "connect"], "accepted"),
        (&["-r", "connect"], "accepted"),
        (&["-q", "ehlo"], "accepted"),
        (&["-Q", "mail"], "accepted"),
        (&["-q", "data"], "accepted"),
        (&["-r", "mail"], "accepted"),
        (&["-r", "rcpt"], "accepted"),
        (&["-r", "data"], "accepted"),
        (&["-r", "."], "deferred"),
        (&["-f", "rcpt"], "rejected"),
        (&["-f", "."], "rejected"),
        (&["-q", "."], "unknown"),
    ];
    let all = Addresses::of(firsts.len() + 1);
    let (second, at) = all.split_last().unwrap();
    let start = |(address, (options, _)): (&SocketAddr, &(&[&str], &str))| SmtpSink::start(*address, options);
    let sinks: Vec<SmtpSink> = at.iter().zip(&firsts).skip(1).map(start).collect();
    let last = SmtpSink::start(*second, &[]);
    let sender = Sender::new(Engine::Sqlite, &format!("{}mta_sts = false\n", directly(all.port())));
    let release = |address: &SocketAddr| {
        let domain = fresh_domain();
        for (preference, address) in [(10, address), (20, second)] {
            let host = format!("mx{preference}.{domain}");
            zone().exchanger(&domain, preference, &host).address_of(&host, address.ip());
        }
        (sender.release(&[&format!("ann@{domain}")]), domain)
    };
    let released: Vec<(String, String)> = at.iter().map(release).collect();
    for ((options, expected), (draft, domain)) in firsts.iter().zip(&released) {
        let shown = tried(&sender, draft, 1);
        assert_eq!(told(&shown)[0], *expected, "{options:?}: {shown}");
        let number = if *expected == "accepted" { 20 } else { 10 };
        assert_eq!(shown["transmissions"][0]["host"], format!("mx{number}.{domain}"), "{options:?}: {shown}");
    }
    let taken = firsts.iter().filter(|(_, expected)| *expected == "accepted").count();
    last.until(taken as u64);
    for ((options, _), sink) in firsts.iter().skip(1).zip(&sinks) {
        sink.until(u64::from(options[1] == "."));
    }
}
