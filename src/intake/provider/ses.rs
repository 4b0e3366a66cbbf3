//! Amazon SES through SNS: a receipt rule with an SNS action, whose topic has our address as an HTTPS subscription.
//!
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html> (`Type`, `MessageId`, `TopicArn`, `Message`,
//! `SubscribeURL`; the id stays the same when SNS tries again) and
//! <https://docs.aws.amazon.com/ses/latest/dg/receiving-email-notifications-contents.html> (`receipt.recipients`, `mail.source`,
//! `content`, encoded as `receipt.action.encoding` says).
//!
//! # Security
//! The signature of SNS messages is not checked: its certificate would have to be fetched from an address in the message.
//! Who may call is the API key's to say, and of which topic the configuration's ([`Notice::topic`]). Nothing of a message is
//! ever fetched: a subscription is confirmed by the operator, at the address that is told to him.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Delivery, ReadError, bare, forward_paths, id};

/// What SNS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The topic (`arn:aws:sns:REGION:ACCOUNT:NAME`), as SNS names it.
    pub topic: String,
    /// What it is about.
    pub content: Content,
}

/// What a notice is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A message, or why there is none: whether the topic is listened to is asked first.
    Message(Result<Delivery<'static>, ReadError>),
    /// Somebody subscribed our address to the topic; nothing comes before the address is opened. `None` where it is none of
    /// SNS: then it must not be.
    Confirmation(Option<String>),
    /// The subscription ended.
    Unsubscribed,
}

const NOT_OF_SNS: ReadError = ReadError::NotRaw(
    "the body is not the JSON of an SNS message: raw message delivery must be off in the SNS subscription",
);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope<'a> {
    #[serde(rename = "Type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    message_id: Cow<'a, str>,
    #[serde(borrow)]
    topic_arn: Cow<'a, str>,
    #[serde(default, borrow)]
    message: Cow<'a, str>,
    #[serde(rename = "SubscribeURL", default, borrow)]
    subscribe_url: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Received<'a> {
    #[serde(default)]
    receipt: Option<Receipt>,
    #[serde(default)]
    mail: Option<Mail>,
    #[serde(default, borrow)]
    content: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Receipt {
    #[serde(default)]
    recipients: Vec<String>,
    #[serde(default)]
    action: Option<Action>,
}

#[derive(Deserialize)]
struct Action {
    #[serde(default)]
    encoding: Option<String>,
}

#[derive(Deserialize)]
struct Mail {
    #[serde(default)]
    source: Option<String>,
}

/// Reads the body of a call.
///
/// # Errors
/// [`ReadError::NotRaw`] when it is not in the envelope of SNS; [`ReadError::Malformed`].
pub fn read(body: &[u8]) -> Result<Notice, ReadError> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).map_err(|_| NOT_OF_SNS)?;
    let topic = envelope.topic_arn.into_owned();
    let content = match &*envelope.kind {
        "Notification" => Content::Message(message(&envelope.message_id, &envelope.message)),
        "SubscriptionConfirmation" => {
            let url = envelope.subscribe_url.filter(|url| is_of_sns(url, &topic));
            Content::Confirmation(url.map(Cow::into_owned))
        }
        "UnsubscribeConfirmation" => Content::Unsubscribed,
        _ => return Err(ReadError::Malformed("the Type of the SNS message is not known")),
    };
    Ok(Notice { topic, content })
}

/// What SES says; without content, where it tells of a message and does not hand it over.
fn message(message_id: &str, message: &str) -> Result<Delivery<'static>, ReadError> {
    let received: Received<'_> = serde_json::from_str(message)
        .map_err(|_| ReadError::Malformed("the Message is not the JSON of an SES notification"))?;
    let content = received.content.filter(|content| !content.is_empty()).ok_or(ReadError::NotRaw(
        "the notification has no content: use an SNS action in the SES receipt rule, not one that stores the mail elsewhere",
    ))?;
    let receipt = received.receipt.ok_or(ReadError::Malformed("the notification has no receipt"))?;
    let encoding = receipt.action.and_then(|action| action.encoding).unwrap_or_default();
    let message = if encoding.eq_ignore_ascii_case("base64") {
        let text: Vec<u8> = content.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        STANDARD.decode(text).map_err(|_| ReadError::Malformed("the content is not base64"))?
    } else {
        content.into_owned().into_bytes()
    };
    Ok(Delivery {
        id: id(message_id)?,
        reverse_path: bare(&received.mail.and_then(|mail| mail.source).unwrap_or_default()).to_owned(),
        forward_paths: forward_paths(receipt.recipients.iter().map(String::as_str))?,
        client: None,
        message: Cow::Owned(message),
    })
}

/// Whether an address is one of SNS, in the region of the topic.
fn is_of_sns(url: &str, topic: &str) -> bool {
    let Some(region) = topic.strip_prefix("arn:aws").and_then(|rest| rest.split(':').nth(2)) else { return false };
    let is_region = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let Ok(parsed) = url::Url::parse(url) else { return false };
    let host = parsed.host_str().unwrap_or_default();
    let is_host =
        [format!("sns.{region}.amazonaws.com"), format!("sns.{region}.amazonaws.com.cn")].contains(&host.into());
    is_region && is_host && parsed.scheme() == "https" && parsed.port().is_none() && parsed.username().is_empty()
}
