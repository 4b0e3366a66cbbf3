use std::collections::BTreeMap;

use super::*;
use crate::outbound::reply::ReplyBuffer;
use crate::outbound::tests::domain;
use proptest::prelude::*;

fn mailboxes(texts: &[&str]) -> Vec<Mailbox> {
    texts.iter().map(|text| Mailbox::parse(text).unwrap()).collect()
}

fn envelope(recipients: &[&str]) -> Envelope {
    Envelope {
        reverse_path: ReversePath::Mailbox(Mailbox::parse("deals@customer.example").unwrap()),
        recipients: mailboxes(recipients),
        size: 1_000,
        needs: Needs::default(),
    }
}

fn rules(encryption: Encryption) -> Rules {
    Rules { hello: domain("mx.gateway.example"), encryption, credentials: None }
}

fn reply(wire: &str) -> Input {
    let mut buffer = ReplyBuffer::default();
    buffer.space().extend_from_slice(format!("{wire}\r\n").as_bytes());
    Input::Reply(buffer.take().unwrap().unwrap())
}

/// Runs a session: `said` are the replies, one for each time that one is read. Gives what was written, and the end.
fn run(envelope: Envelope, rules: Rules, said: &[&str]) -> (Vec<String>, Ending) {
    let (mut dialogue, mut action) = Dialogue::begin(envelope, rules);
    let (mut written, mut said) = (Vec::new(), said.iter());
    loop {
        let mut heard = || said.next().map_or_else(|| Input::Lost(Reason::Closed, "closed".into()), |text| reply(text));
        let input = match action {
            Action::Say(bytes, _) => {
                written.extend(String::from_utf8(bytes).unwrap().lines().map(str::to_owned));
                heard()
            }
            Action::Listen(_) => heard(),
            Action::Encrypt => Input::Encrypted,
            Action::WriteMessage => Input::Written,
            Action::Record(_) => Input::Recorded,
            Action::WriteEnd => {
                written.push(".".to_owned());
                heard()
            }
            Action::Finish(ending) => return (written, ending),
        };
        (dialogue, action) = dialogue.on(input);
    }
}

fn outcomes(ending: &Ending) -> Vec<(String, Outcome, Reason)> {
    let settled = ending.settled.iter();
    settled.map(|attempt| (attempt.recipient.to_string(), attempt.outcome, attempt.report.reason)).collect()
}

const OFFER: &str = "250-mx\r\n250-PIPELINING\r\n250-SIZE 5000\r\n250-8BITMIME\r\n250 SMTPUTF8";

#[test]
fn commands_go_together_where_pipelining_is_announced_and_one_by_one_where_it_is_not() {
    let said = ["220 hi", OFFER, "250 ok", "250 ok", "250 ok", "354 go", "250 taken"];
    let (written, ending) = run(envelope(&["a@b.example", "c@b.example"]), rules(Encryption::Never), &said);
    let expected = [
        "EHLO mx.gateway.example",
        "MAIL FROM:<deals@customer.example> SIZE=1000",
        "RCPT TO:<a@b.example>",
        "RCPT TO:<c@b.example>",
        "DATA",
        ".",
    ];
    assert_eq!(written, expected);
    assert_eq!(outcomes(&ending).iter().filter(|(_, outcome, _)| *outcome == Outcome::Accepted).count(), 2);
    assert!(ending.open.is_none() && ending.is_quit_due);
    // Without extensions: the same without SIZE, and MAIL is answered before RCPT is said.
    let (dialogue, _) = Dialogue::begin(envelope(&["a@b.example"]), rules(Encryption::Never));
    let (dialogue, _) = dialogue.on(reply("220 hi"));
    let (dialogue, action) = dialogue.on(reply("502 what"));
    assert_eq!(action, Action::Say(b"HELO mx.gateway.example\r\n".to_vec(), Step::Hello));
    let (dialogue, action) = dialogue.on(reply("250 hi"));
    assert_eq!(action, Action::Say(b"MAIL FROM:<deals@customer.example>\r\n".to_vec(), Step::Mail));
    let (_, action) = dialogue.on(reply("250 ok"));
    assert_eq!(action, Action::Say(b"RCPT TO:<a@b.example>\r\n".to_vec(), Step::Rcpt));
}

#[test]
fn a_server_that_refuses_ehlo_in_whatever_words_is_greeted_without_extensions() {
    let asked = |words: &str| {
        let (dialogue, _) = Dialogue::begin(envelope(&["a@b.example"]), rules(Encryption::Never));
        dialogue.on(reply("220 hi")).0.on(reply(words)).1
    };
    for words in ["500 what", "501 no", "502 what", "504 no", "550 no", "554 no"] {
        assert_eq!(asked(words), Action::Say(b"HELO mx.gateway.example\r\n".to_vec(), Step::Hello), "{words}");
    }
    for words in ["521 no mail here", "421 later", "450 later"] {
        assert!(matches!(asked(words), Action::Finish(Ending { open: Some(_), .. })), "{words}");
    }
}

#[test]
fn many_recipients_are_asked_for_in_groups() {
    let recipients: Vec<String> = (0..120).map(|number| format!("r{number}@b.example")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let mut said = vec!["220 hi", OFFER];
    said.extend(std::iter::repeat_n("250 ok", 121));
    said.extend(["354 go", "250 taken"]);
    let (written, ending) = run(envelope(&recipients), rules(Encryption::Never), &said);
    assert_eq!(written.iter().filter(|line| line.starts_with("RCPT")).count(), 120);
    assert_eq!(ending.settled.len(), 120);
}

#[test]
fn every_step_can_refuse_and_each_refusal_means_what_the_standard_says() {
    use Outcome::{Deferred, Rejected};
    let settled: &[(&[&str], Outcome)] = &[
        (&["220 hi", OFFER, "550 5.7.1 no", "503 no", "503 no"], Rejected),
        (&["220 hi", OFFER, "451 4.3.0 later", "503 no", "503 no"], Deferred),
        (&["220 hi", OFFER, "530 5.7.0 STARTTLS first", "503 no", "503 no"], Deferred),
        (&["220 hi", OFFER, "250 ok", "550 5.1.1 unknown", "551 gone"], Rejected),
        (&["220 hi", OFFER, "250 ok", "450 4.7.1 greylisted", "452 too many"], Deferred),
        (&["220 hi", OFFER, "250 ok", "552 too many", "552 too many"], Deferred),
        (&["220 hi", OFFER, "250 ok", "250 ok", "250 ok", "554 no"], Rejected),
        (&["220 hi", OFFER, "250 ok", "250 ok", "250 ok", "451 later"], Deferred),
        (&["220 hi", OFFER, "250 ok", "250 ok", "250 ok", "354 go", "554 spam"], Rejected),
        (&["220 hi", OFFER, "250 ok", "250 ok", "250 ok", "354 go", "452 full"], Deferred),
        (&["220 hi", OFFER, "250 ok", "250 ok", "250 ok", "354 go", "421 bye"], Deferred),
    ];
    for (said, expected) in settled {
        let (_, ending) = run(envelope(&["a@b.example", "c@b.example"]), rules(Encryption::Never), said);
        assert_eq!(ending.settled.len(), 2, "{said:?} {ending:?}");
        assert!(ending.settled.iter().all(|attempt| attempt.outcome == *expected), "{said:?} {ending:?}");
        assert!(ending.settled.iter().all(|attempt| attempt.report.reason == Reason::Reply), "{said:?} {ending:?}");
        assert!(ending.open.is_none());
    }
    let open: &[&[&str]] = &[
        &["554 no"],
        &["421 busy"],
        &["220 hi", "421 busy"],
        &["220 hi", "550 go away"],
        &["220 hi", "502 what", "502 what"],
        &["220 hi", OFFER, "421 bye"],
        &["220 hi", OFFER, "250 ok", "421 bye"],
        &["220 hi", OFFER, "250 ok", "250 ok", "250 ok", "421 bye"],
        // Neither yes nor no.
        &["220 hi", OFFER, "250 ok", "354 what", "250 ok"],
        &["220 hi", OFFER, "354 what", "250 ok", "250 ok"],
        &["220 hi", OFFER, "250 ok", "250 ok", "250 ok", "250 what"],
    ];
    for said in open {
        let (written, ending) = run(envelope(&["a@b.example", "c@b.example"]), rules(Encryption::Never), said);
        assert_eq!(ending.open.as_ref().map(|(open, _)| open.len()), Some(2), "{said:?} {ending:?}");
        assert!(ending.settled.is_empty() && !written.contains(&".".to_owned()), "{said:?}");
    }
}

#[test]
fn a_refused_recipient_does_not_keep_the_message_from_the_others() {
    let said = ["220 hi", OFFER, "250 ok", "550 5.1.1 unknown", "250 ok", "450 4.2.2 full", "354 go", "250 taken"];
    let to = ["a@b.example", "c@b.example", "d@b.example"];
    let (_, ending) = run(envelope(&to), rules(Encryption::Never), &said);
    let found: BTreeMap<String, Outcome> =
        outcomes(&ending).into_iter().map(|(recipient, outcome, _)| (recipient, outcome)).collect();
    let expected = [Outcome::Rejected, Outcome::Accepted, Outcome::Deferred];
    assert_eq!(found.into_values().collect::<Vec<_>>(), expected);
    // Whoever was refused stays so when the session is lost; the others may be tried elsewhere.
    let (_, ending) = run(envelope(&to), rules(Encryption::Never), &said[..6]);
    assert_eq!(ending.settled.len(), 2);
    assert_eq!(ending.open.unwrap().0, mailboxes(&["c@b.example"]));
}

#[test]
fn without_a_reply_behind_the_dot_nobody_knows_and_before_it_nobody_got_anything() {
    let said = ["220 hi", OFFER, "250 ok", "250 ok", "354 go", "250 taken"];
    for length in 0..said.len() {
        let (written, ending) = run(envelope(&["a@b.example"]), rules(Encryption::Never), &said[..length]);
        let is_dotted = written.contains(&".".to_owned());
        assert_eq!(is_dotted, length == 5, "{length}");
        if is_dotted {
            assert_eq!(outcomes(&ending)[0].1, Outcome::Unknown);
            assert!(ending.open.is_none());
        } else {
            assert!(ending.settled.is_empty() && ending.open.is_some(), "{length}");
        }
        assert!(!ending.is_quit_due);
    }
    let neither = [&said[..5], &["354 go on"]].concat();
    let (_, ending) = run(envelope(&["a@b.example"]), rules(Encryption::Never), &neither);
    assert_eq!(outcomes(&ending)[0].1, Outcome::Unknown);
}

#[test]
fn the_end_is_not_written_before_it_is_on_record() {
    let (mut dialogue, _) = Dialogue::begin(envelope(&["a@b.example"]), rules(Encryption::Never));
    let mut action = Action::WriteMessage;
    for said in ["220 hi", OFFER, "250 ok", "250 ok", "354 go"] {
        (dialogue, action) = dialogue.on(reply(said));
    }
    assert_eq!(action, Action::WriteMessage);
    let (dialogue, action) = dialogue.on(Input::Written);
    assert_eq!(action, Action::Record(mailboxes(&["a@b.example"])));
    let (_, action) = dialogue.on(Input::NotRecorded);
    let Action::Finish(ending) = action else { panic!("{action:?}") };
    assert_eq!(outcomes(&ending), [("a@b.example".to_owned(), Outcome::Deferred, Reason::NotRecorded)]);
    assert!(!ending.is_quit_due, "QUIT inside a message would be a part of it");
}

#[test]
fn a_server_that_speaks_inside_the_message_did_not_take_it() {
    for (said, outcome) in
        [("552 too large", Some(Outcome::Rejected)), ("451 no", Some(Outcome::Deferred)), ("250 ok", None)]
    {
        let (mut dialogue, _) = Dialogue::begin(envelope(&["a@b.example"]), rules(Encryption::Never));
        for said in ["220 hi", OFFER, "250 ok", "250 ok", "354 go"] {
            dialogue = dialogue.on(reply(said)).0;
        }
        let (_, action) = dialogue.on(reply(said));
        let Action::Finish(ending) = action else { panic!("{action:?}") };
        assert_eq!(outcomes(&ending).first().map(|(_, outcome, _)| *outcome), outcome);
        assert_eq!(ending.open.is_some(), outcome.is_none());
        assert!(!ending.is_quit_due);
    }
}

#[test]
fn what_the_server_cannot_take_unchanged_is_rejected_and_nothing_is_sent() {
    let plain = "250-mx\r\n250-SIZE 999\r\n250 PIPELINING";
    let rejected = |change: fn(&mut Envelope), offer: &str| {
        let mut envelope = envelope(&["a@b.example"]);
        change(&mut envelope);
        let (written, ending) = run(envelope, rules(Encryption::Never), &["220 hi", offer]);
        assert_eq!(written, ["EHLO mx.gateway.example"]);
        let report = ending.settled[0].report.clone();
        assert_eq!(ending.settled[0].outcome, Outcome::Rejected);
        (report.reason, report.enhanced.unwrap().to_string())
    };
    assert_eq!(rejected(|_| {}, plain), (Reason::TooLarge, "5.3.4".to_owned()));
    let bare = "250 mx";
    assert_eq!(rejected(|envelope| envelope.needs.eight_bit = true, bare), (Reason::NotOffered, "5.6.3".to_owned()));
    assert_eq!(rejected(|envelope| envelope.needs.utf8_header = true, bare), (Reason::NotOffered, "5.6.9".to_owned()));
    let foreign = |envelope: &mut Envelope| envelope.recipients = mailboxes(&["gr\u{fc}n@b.example"]);
    assert_eq!(rejected(foreign, bare), (Reason::NotOffered, "5.6.7".to_owned()));
    let from = |envelope: &mut Envelope| {
        envelope.reverse_path = ReversePath::Mailbox(Mailbox::parse("gr\u{fc}n@b.example").unwrap());
    };
    assert_eq!(rejected(from, bare), (Reason::NotOffered, "5.6.7".to_owned()));
    // Only the recipient who needs it is refused, and where it is there, it is used.
    let said = ["220 hi", "250 mx", "250 ok", "250 ok", "354 go", "250 taken"];
    let (written, ending) = run(envelope(&["gr\u{fc}n@b.example", "a@b.example"]), rules(Encryption::Never), &said);
    assert!(written.contains(&"MAIL FROM:<deals@customer.example>".to_owned()), "{written:?}");
    let found: Vec<Outcome> = outcomes(&ending).into_iter().map(|(_, outcome, _)| outcome).collect();
    assert_eq!(found, [Outcome::Rejected, Outcome::Accepted]);
    let mut needy = envelope(&["gr\u{fc}n@b.example"]);
    needy.needs.eight_bit = true;
    let (written, _) =
        run(needy, rules(Encryption::Never), &["220 hi", OFFER, "250 ok", "250 ok", "354 go", "250 taken"]);
    assert_eq!(written[1], "MAIL FROM:<deals@customer.example> SIZE=1000 BODY=8BITMIME SMTPUTF8");
    assert_eq!(written[2], "RCPT TO:<gr\u{fc}n@b.example>");
}

#[test]
fn tls_is_begun_where_it_is_offered_and_asked_for() {
    let offer = "250-mx\r\n250 STARTTLS";
    let lines = |encryption, said: &[&str]| run(envelope(&["a@b.example"]), rules(encryption), said);
    let (written, _) = lines(Encryption::IfOffered, &["220 hi", offer, "220 go", "250 mx"]);
    assert_eq!(written[1..3], ["STARTTLS", "EHLO mx.gateway.example"]);
    // Offered and not begun: in clear, unless TLS is required.
    let (written, _) = lines(Encryption::IfOffered, &["220 hi", offer, "454 no", "250 ok"]);
    assert!(written[2].starts_with("MAIL"), "{written:?}");
    for said in [&["220 hi", offer, "454 no"][..], &["220 hi", "250 mx"], &["220 hi", "500 what", "250 mx"]] {
        let (written, ending) = lines(Encryption::Required, said);
        assert!(!written.iter().any(|line| line.starts_with("MAIL")), "{written:?}");
        assert_eq!(ending.open.unwrap().1.reason, Reason::Tls);
    }
    let (written, _) = lines(Encryption::Never, &["220 hi", offer, "250 ok"]);
    assert!(written[1].starts_with("MAIL"), "{written:?}");
}

#[test]
fn a_password_is_shown_under_tls_alone() {
    let with = |encryption| Rules { credentials: Credentials::new("user", "secret"), ..rules(encryption) };
    let plain = "250-mx\r\n250 AUTH LOGIN PLAIN";
    let (written, _) = run(envelope(&["a@b.example"]), with(Encryption::Begun), &["220 hi", plain, "235 ok", "250 ok"]);
    assert_eq!(written[1], "AUTH PLAIN AHVzZXIAc2VjcmV0");
    assert!(written[2].starts_with("MAIL"));
    let said = ["220 hi", "250-mx\r\n250 AUTH LOGIN", "334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 ok", "250 ok"];
    let (written, _) = run(envelope(&["a@b.example"]), with(Encryption::Begun), &said);
    assert_eq!(written[1..4], ["AUTH LOGIN", "dXNlcg==", "c2VjcmV0"]);
    assert!(written[4].starts_with("MAIL"));
    for (encryption, said) in [
        (Encryption::Never, &["220 hi", plain][..]),
        (Encryption::IfOffered, &["220 hi", plain]),
        (Encryption::Begun, &["220 hi", "250 mx"]),
        (Encryption::Begun, &["220 hi", plain, "535 5.7.8 wrong"]),
        (Encryption::Begun, &["220 hi", plain, "334 more"]),
    ] {
        let (written, ending) = run(envelope(&["a@b.example"]), with(encryption), said);
        assert_eq!(outcomes(&ending)[0].1, Outcome::Deferred, "{said:?}");
        assert_eq!(outcomes(&ending)[0].2, Reason::Authentication, "{said:?}");
        assert!(!written.iter().any(|line| line.starts_with("MAIL")));
        assert!(encryption == Encryption::Begun || !written.iter().any(|line| line.starts_with("AUTH")), "{written:?}");
    }
    let echo = ["220 hi", plain, "535 5.7.8 not secret, nor AHVzZXIAc2VjcmV0"];
    let (_, ending) = run(envelope(&["a@b.example"]), with(Encryption::Begun), &echo);
    let told = format!("{ending:?}");
    assert!(told.contains("5.7.8 the relay does not") && !told.contains("secret") && !told.contains("AHVz"), "{told}");
    assert!(Credentials::new("", "x").is_none() && Credentials::new("a\0b", "x").is_none());
    assert!(!format!("{:?}", with(Encryption::Begun)).contains("secret"));
}

fn any_input() -> impl Strategy<Value = u16> {
    prop_oneof![
        6 => prop::sample::select(vec![220, 250, 354, 235, 334]),
        3 => prop::sample::select(vec![421, 450, 451, 452, 550, 552, 554, 521, 530]),
        1 => prop::sample::select(vec![0, 1]),
    ]
}

proptest! {
    #[test]
    fn whatever_a_server_says_each_recipient_ends_once_and_nothing_follows_the_dot(
        codes in prop::collection::vec(prop::option::weighted(0.1, any_input()), 0..40),
        count in 1_usize..5,
        is_pipelined: bool,
        is_recorded: bool,
    ) {
        let recipients: Vec<String> = (0..count).map(|number| format!("r{number}@b.example")).collect();
        let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
        let (mut dialogue, mut action) = Dialogue::begin(envelope(&recipients), rules(Encryption::IfOffered));
        let (mut codes, mut was_recorded, mut dots) = (codes.into_iter(), false, 0);
        let ending = loop {
            // What a good server says at this step, where nothing else is to be said.
            let mut heard = |step| match codes.next().map(|code| code.unwrap_or(match step {
                Step::Greeting => 220,
                Step::Hello | Step::Mail | Step::Rcpt | Step::End => 250,
                Step::Data => 354,
            })) {
                None | Some(0) => Input::Lost(Reason::Closed, String::new()),
                Some(1) => Input::Lost(Reason::NotSmtp, String::new()),
                Some(250) if is_pipelined => reply(OFFER),
                Some(code) => reply(&format!("{code} x")),
            };
            let input = match action {
                Action::Say(bytes, step) => {
                    prop_assert_eq!(dots, 0);
                    prop_assert!(!bytes.starts_with(b".") && bytes.ends_with(b"\r\n"));
                    heard(step)
                }
                Action::Listen(step) => { prop_assert_eq!(dots, 0); heard(step) }
                Action::Encrypt => Input::NotEncrypted(String::new()),
                Action::WriteMessage => Input::Written,
                Action::Record(ref accepted) => {
                    prop_assert!(!accepted.is_empty());
                    was_recorded = is_recorded;
                    if is_recorded { Input::Recorded } else { Input::NotRecorded }
                }
                Action::WriteEnd => {
                    prop_assert!(was_recorded);
                    dots += 1;
                    heard(Step::End)
                }
                Action::Finish(ending) => break ending,
            };
            (dialogue, action) = dialogue.on(input);
        };
        prop_assert!(dots <= 1);
        prop_assert!(dots == 0 || ending.open.is_none(), "another host after the dot");
        let open = ending.open.map(|(open, _)| open).unwrap_or_default();
        let mut all: Vec<String> = ending.settled.iter().map(|attempt| &attempt.recipient).chain(&open).map(ToString::to_string).collect();
        all.sort();
        prop_assert_eq!(all, recipients);
        let is_in_doubt = |attempt: &Attempt| matches!(attempt.outcome, Outcome::Unknown | Outcome::Accepted);
        prop_assert!(dots == 1 || !ending.settled.iter().any(is_in_doubt));
    }
}
