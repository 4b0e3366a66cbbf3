//! Conversations out of mail, from the spool to the store. `tests/corpus/threads` says which messages belong together.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

/// What each message of a file became, with the name of the conversation that it should belong to.
async fn joined(scene: &Scene, file: &str, is_one_batch: bool) -> Vec<(String, EventRow)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/threads").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let mut names = Vec::new();
    for record in text.split("\n%% ").skip(1) {
        let (name, mail) = record.split_once('\n').unwrap();
        scene.accept(scene.to_mailbox(), mail.replace('\n', "\r\n").as_bytes()).await;
        names.push(name.to_owned());
        if !is_one_batch {
            scene.drain().await;
        }
    }
    scene.drain().await;
    let events = mail_events(&scene.store.for_tenant(scene.tenant)).await;
    assert_eq!(events.len(), names.len(), "{:?}", scene.states().await);
    names.into_iter().zip(events).collect()
}

fn thread_of(event: &EventRow) -> String {
    event.thread.clone().unwrap().0
}

/// Precision of pairs, and the share of conversations that are exactly right.
fn figures(messages: &[(String, EventRow)]) -> (f64, f64) {
    let (mut wanted, mut found) = (BTreeMap::<&str, Vec<usize>>::new(), BTreeMap::<String, Vec<usize>>::new());
    for (place, (name, event)) in messages.iter().enumerate() {
        wanted.entry(name).or_default().push(place);
        found.entry(thread_of(event)).or_default().push(place);
    }
    let (mut right, mut pairs) = (0, 0);
    for thread in found.values() {
        for (one, other) in thread.iter().flat_map(|one| thread.iter().map(move |other| (*one, *other))) {
            if one < other {
                pairs += 1;
                right += usize::from(messages[one].0 == messages[other].0);
            }
        }
    }
    let exact = wanted.values().filter(|thread| found.values().any(|other| other == *thread)).count();
    (right as f64 / pairs as f64, exact as f64 / wanted.len() as f64)
}

#[tokio::test]
async fn conversations_are_found_in_one_batch_and_in_many() {
    for is_one_batch in [true, false] {
        let scene = scene().await;
        let messages = joined(&scene, "development.txt", is_one_batch).await;
        assert_eq!(figures(&messages), (1.0, 1.0));
        let methods: Vec<&str> =
            messages.iter().map(|(_, event)| event.content["threading"]["method"].as_str().unwrap()).collect();
        for method in ["references", "thread_index", "subject", "new"] {
            assert!(methods.contains(&method), "{method}");
        }
    }
}

#[tokio::test]
async fn held_back_conversations_are_never_joined_wrongly_and_seldom_torn() {
    for is_one_batch in [true, false] {
        let scene = scene().await;
        let (precision, exact) = figures(&joined(&scene, "held-back.txt", is_one_batch).await);
        assert!(precision >= 1.0, "{precision}");
        assert!(exact >= 1.0, "{exact}");
    }
}

#[tokio::test]
async fn a_token_brings_an_answer_back_and_works_at_no_other_mailbox() {
    let scene = scene().await;
    scene.accept(scene.to_mailbox(), &mail("1", "")).await;
    scene.drain().await;
    let events = mail_events(&scene.store.for_tenant(scene.tenant)).await;
    let token = events[0].content["threading"]["replyToken"].as_str().unwrap();
    let other = NewMailbox {
        address: Mailbox::parse("rent@in.example").unwrap(),
        app: None,
        identity_owner: "source_app".into(),
        reply_policy: "source_app_only".into(),
        external_reply_url: None,
    };
    let other = scene.store.for_tenant(scene.tenant).add_mailbox(other).await.unwrap();
    let other = Recipient::Mailbox { tenant: scene.tenant, mailbox: other };
    let answer = |to: &str, id: &str| {
        format!(
            "From: zoe@elsewhere.example\r\nTo: {to}\r\nSubject: no words in common\r\nMessage-ID: <{id}@x>\r\n\r\nYes.\r\n"
        )
    };
    scene.accept(scene.to_mailbox(), answer(&format!("deals+{token}@in.example"), "2").as_bytes()).await;
    scene.accept(other, answer(&format!("rent+{token}@in.example"), "3").as_bytes()).await;
    let id = format!("In-Reply-To: <{token}.7f3a@in.example>\r\n");
    scene.accept(scene.to_mailbox(), &mail("4", &id)).await;
    scene.drain().await;
    let events = mail_events(&scene.store.for_tenant(scene.tenant)).await;
    let methods: Vec<&str> =
        events.iter().map(|event| event.content["threading"]["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["new", "reply_token", "new", "reply_token"]);
    let threads: Vec<String> = events.iter().map(thread_of).collect();
    assert!(threads[0] == threads[1] && threads[0] == threads[3] && threads[0] != threads[2]);
    assert_eq!(events[1].content["eventType"], "inbound_reply");
}

#[tokio::test]
async fn a_report_says_which_message_of_the_tenant_it_is_about() {
    let scene = scene().await;
    scene.accept(scene.to_mailbox(), &mail("1", "")).await;
    scene.drain().await;
    let bounce = "From: MAILER-DAEMON@mx.example\r\nTo: deals@in.example\r\nSubject: failure notice\r\n\r\n\
                  <gone@lake.example>: 550 5.1.1 user unknown\r\n\r\nMessage-ID: <1@lakeside.example>\r\n";
    scene.accept(scene.to_mailbox(), bounce.as_bytes()).await;
    scene.drain().await;
    let events = mail_events(&scene.store.for_tenant(scene.tenant)).await;
    assert_eq!(events[1].content["about"]["eventId"], events[0].id.to_string());
    assert_eq!(thread_of(&events[1]), thread_of(&events[0]));
    let suppressed: Vec<&serde_json::Value> = events[1].answer["operations"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|operation| operation["type"] == "suppress_recipient")
        .map(|operation| &operation["params"]["address"])
        .collect();
    assert_eq!(suppressed, ["gone@lake.example"]);
}
