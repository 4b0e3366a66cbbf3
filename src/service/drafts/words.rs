//! The words of drafts that decisions propose: from a template of the app, of the tenant, or one that is there from the start.
//!
//! What is written is a draft like any other: nothing leaves by it. Where no words can be made, the draft stays without.

use super::parts::{Body, Parts, Writing};
use super::write::{Frame, fixed, references_of, reply_subject, reverse_path, written};
use crate::clock::Clock;
use crate::contract::answer::{Answer, OperationType};
use crate::decide::template::{ANY, Known, Template, built_in};
use crate::event::CanonicalEvent;
use crate::governance::Actor;
use crate::ids::{AppId, EventId, MailboxId, TenantId, ThreadId};
use crate::mail::address::{Domain, Mailbox};
use crate::mail::reply_token::ReplyTokens;
use crate::service::materialize::Work;
use crate::store::events::NewWords;
use crate::store::templates::{NewTemplate, TemplateRow};

pub(crate) use super::write::bounce_host;

/// Who would answer whom, and in which conversation.
pub(crate) struct Correspondence<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) event: EventId,
    pub(crate) app: Option<AppId>,
    /// The mailbox as which it would be sent; `None` where none of this gateway stands behind it.
    pub(crate) mailbox: Option<MailboxId>,
    /// Whose answer it would be.
    pub(crate) from: Mailbox,
    /// The host to which reports about its mail are delegated.
    pub(crate) bounce_host: Option<Domain>,
    /// The conversation; `None` for a new one.
    pub(crate) thread: Option<ThreadId>,
    /// The mail that is answered; `None` for events of apps.
    pub(crate) answered: Option<&'a CanonicalEvent>,
    /// To whom.
    pub(crate) to: String,
    /// What to call whoever that is.
    pub(crate) name: Option<&'a str>,
    /// The subject of what is answered.
    pub(crate) subject: &'a str,
    /// The app's record.
    pub(crate) record_id: Option<&'a str>,
}

/// Which words are chosen.
struct Chosen {
    id: String,
    version: u32,
    template: Template,
}

/// Language of words where that of a message has none.
const FALLBACK: &str = "en";

/// Whom an answer to mail goes to: as it asks, or its author.
pub(crate) fn addressee(event: &CanonicalEvent) -> Option<String> {
    event.reply_to.first().or(event.author.as_ref()).map(written)
}

/// Writes the drafts of an answer, and makes the questions about them questions about these words.
pub(crate) fn write(
    work: &mut Work,
    answer: &Answer,
    from: &Correspondence<'_>,
    templates: &[TemplateRow],
    (tokens, clock): (&ReplyTokens, &Clock),
) {
    let language = answer.canonical.language.as_deref().unwrap_or(FALLBACK);
    let Some(chosen) = choose(templates, from.app, &answer.canonical.status, language) else { return };
    let document = answer.operations.iter().find(|one| one.kind == OperationType::RequestDocument);
    let known = Known {
        contact_name: from.name,
        record_id: from.record_id,
        document: document.and_then(|one| one.params.get("document")).and_then(serde_json::Value::as_str),
        link: answer.identity.external_reply_url.as_deref(),
    };
    let (subject, text) = chosen.template.fill(&known);
    let now = clock.now();
    for draft in &mut work.drafts {
        let thread = from.thread.unwrap_or_else(|| clock.mint());
        let in_reply_to = from.answered.and_then(|event| event.rfc_message_id.clone());
        let scope = from.mailbox.map_or_else(|| from.from.key(), |id| id.to_string());
        let frame = Frame {
            tokens,
            tenant: from.tenant,
            scope: &scope,
            own: from.from.clone(),
            reverse_path: reverse_path(from.bounce_host.as_ref(), &from.from),
            thread,
            references: references_of(from.answered, in_reply_to),
            now,
        };
        let parts = Parts {
            to: vec![from.to.clone()],
            subject: subject.clone().unwrap_or_else(|| reply_subject(from.subject)),
            text: text.clone(),
            answers: from.answered.map(|_| from.event),
            ..Parts::default()
        };
        let writing = Writing { parts, body: Body::Written(Vec::new()) };
        let author = Actor::Template { template: chosen.id.clone(), version: chosen.version };
        let Ok(version) = fixed(&frame, (draft.draft_id, 1), writing, author) else { continue };
        for approval in work.approvals.iter_mut().filter(|one| one.draft_id == Some(draft.draft_id)) {
            approval.about = Some(version.content_hash.clone());
        }
        draft.words = Some(NewWords {
            mailbox: from.mailbox,
            thread,
            answers: from.answered.map(|_| from.event),
            template: (chosen.id.clone(), chosen.version),
            version,
        });
    }
}

/// The app's own words before those of the tenant, and these before what is there from the start; for the status before those
/// for any; in the language of the message before English.
fn choose(templates: &[TemplateRow], app: Option<AppId>, status: &str, language: &str) -> Option<Chosen> {
    let own = |app: Option<AppId>, status: &str, language: &str| {
        let fits = |row: &&TemplateRow| row.app == app && row.status == status && row.language == language;
        let row = templates.iter().find(fits)?;
        let template = Template::read(row.subject.as_deref(), &row.body).ok()?;
        Some(Chosen { id: row.id.to_string(), version: row.version, template })
    };
    let apps: Vec<Option<AppId>> = app.into_iter().map(Some).chain([None]).collect();
    [language, FALLBACK].into_iter().find_map(|language| {
        let of = |status: &str| apps.iter().find_map(|app| own(*app, status, language));
        let there = || {
            let words = built_in(language, status)?;
            Some(Chosen { id: words.id, version: words.version, template: words.template })
        };
        of(status).or_else(|| of(ANY)).or_else(there)
    })
}

/// Whether words can be kept as a template.
///
/// # Errors
/// What is wrong with them, in words.
pub fn check_template(new: &NewTemplate) -> Result<(), String> {
    let engine = crate::decide::Engine::new().map_err(|error| error.to_string())?;
    if new.status != ANY && !engine.taxonomy().iter().any(|status| status.name == new.status) {
        return Err(format!("`{}` is no canonical status, nor `any`", new.status));
    }
    if new.language.len() != 2 || !new.language.bytes().all(|letter| letter.is_ascii_lowercase()) {
        return Err("a language is two small letters (ISO 639-1), such as en".to_owned());
    }
    Template::read(new.subject.as_deref(), &new.body).map(|_| ()).map_err(|fault| format!("the template {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::ids::TemplateId;

    fn row(number: u128, app: Option<AppId>, status: &str, language: &str) -> TemplateRow {
        TemplateRow {
            id: TemplateId::from_bits(number),
            version: 3,
            app,
            status: status.into(),
            language: language.into(),
            subject: None,
            body: "Hello".into(),
            created_at: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn the_apps_own_words_come_first_and_the_language_before_the_owner() {
        let app = Some(AppId::from_bits(1));
        let rows = [
            row(1, None, "complaint", "de"),
            row(2, app, "complaint", "en"),
            row(3, app, ANY, "de"),
            row(4, Some(AppId::from_bits(2)), "complaint", "de"),
        ];
        let chosen = |status: &str, language: &str| choose(&rows, app, status, language).unwrap().id;
        assert_eq!(chosen("complaint", "de"), TemplateId::from_bits(1).to_string());
        assert_eq!(chosen("complaint", "en"), TemplateId::from_bits(2).to_string());
        assert_eq!(chosen("question_asked", "de"), TemplateId::from_bits(3).to_string());
        assert_eq!(chosen("question_asked", "fr"), "builtin/fr/question_asked");
        assert_eq!(chosen("legal_notice", "ja"), "builtin/en/any");
        assert_eq!(chosen("complaint", "ja"), TemplateId::from_bits(2).to_string());
    }

    #[test]
    fn words_for_nothing_that_there_is_are_refused() {
        let new = |status: &str, language: &str, body: &str| NewTemplate {
            app: None,
            status: status.into(),
            language: language.into(),
            subject: None,
            body: body.into(),
        };
        assert_eq!(check_template(&new("complaint", "en", "Hello {{contact_name}}")), Ok(()));
        for (status, language, body) in
            [("complaints", "en", "x"), ("any", "english", "x"), ("any", "en", "{{password}}"), ("any", "en", " ")]
        {
            assert!(check_template(&new(status, language, body)).is_err(), "{status} {language} {body}");
        }
    }
}
