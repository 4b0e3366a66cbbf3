//! Forwards of several messages in one mail.

use super::*;
use crate::ids::RouteId;

/// A forward of these messages as attachments, to the address that the scene accepts for.
fn forward(originals: &[Vec<u8>]) -> Vec<u8> {
    let mut mail = b"From: Sam <sam@harbor.example>\r\nTo: deals@in.example\r\nMessage-ID: <f@harbor.example>\r\n\
Content-Type: multipart/mixed; boundary=r\r\n\r\n"
        .to_vec();
    for original in originals {
        mail.extend_from_slice(b"--r\r\nContent-Type: message/rfc822\r\n\r\n");
        mail.extend_from_slice(original);
        mail.extend_from_slice(b"\r\n");
    }
    mail.extend_from_slice(b"--r--\r\n");
    mail
}

fn route(scene: &Scene) -> Recipient {
    Recipient::Route {
        tenant: scene.tenant,
        route: RouteId::from_bits(5),
        reader: Reader::Forward,
        peer_authorised: true,
        shared_range: false,
    }
}

#[tokio::test]
async fn each_message_of_a_forward_is_an_event_once_and_in_order() {
    let scene = scene().await;
    let (first, second) = (mail("1", ""), mail("2", ""));
    scene.accept(route(&scene), &forward(&[first.clone(), second.clone(), first.clone()])).await;
    // The second alone, as somebody redirects it who knows of one more recipient.
    scene.accept(route(&scene), &mail("2", "Cc: mia@harbor.example\r\n")).await;
    scene.drain().await;
    let events = mail_events(&scene.store.for_tenant(scene.tenant)).await;
    let ids: Vec<&serde_json::Value> = events.iter().map(|event| &event.content["rfcMessageId"]).collect();
    assert_eq!(ids[..2], ["1@lakeside.example", "2@lakeside.example"]);
    assert_eq!(events.len(), 3, "two messages, and what a copy added to one: {ids:?}");
    assert_eq!(events[2].content["updatedEventId"], events[1].id.to_string());
    assert_eq!(events[2].content["addedRecipients"][0]["address"], "mia@harbor.example");
    assert!(!events[0].content["defects"].to_string().contains("extra_original"), "all of them are read");
    assert_eq!(scene.states().await, [("emitted".to_owned(), None), ("duplicate".to_owned(), None)]);
}
