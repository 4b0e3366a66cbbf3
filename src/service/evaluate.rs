//! The main use case: an event from an app becomes an answer. Preview, status and integration-event share one evaluation;
//! only integration-event records anything.
//!
//! # Security
//! [`preview`] takes no store: there is nothing that it could write to or read of a tenant. An identity that a request
//! claims is intersected with what is registered and never widens it.

use ring::digest;

use super::drafts::{actor_of, words};
use super::identity::{self, Standing};
use super::keys::{Authenticated, StatusEvaluate};
use super::materialize::{self, Materialize};
use super::{Conflict, Fault, Service, ServiceError, announce, machine, reading, trust};
use crate::clock::{Clock, Timestamp};
use crate::contract::answer::{Answer, Materialized, Operation};
use crate::contract::request::{AppContext, EventRequest};
use crate::decide::{AppProfile, Decision, Engine, Matter};
use crate::governance::audit::Who;
use crate::ids::{AppId, DecisionId, EventId, OperationId, ThreadId};
use crate::mail::address::Mailbox;
use crate::store::directory::{App, AppProfileRow, MailboxRow};
use crate::store::events::{NewDecision, NewEvent, NewThreadPlace, Recorded, SourceKey};

/// A request with what was noticed while it was parsed.
#[derive(Debug)]
pub struct Submission {
    /// The request; its fields fit the schema.
    pub request: EventRequest,
    /// Warnings so far: fields that are not known.
    pub warnings: Vec<String>,
    /// Id of the call.
    pub request_id: String,
}

/// What is known beside the request. A preview knows nothing.
#[derive(Debug, Default)]
struct Known {
    profile: AppProfileRow,
    mailbox: Option<MailboxRow>,
    standing: Standing,
}

/// An evaluation before anything of it is recorded.
struct Evaluated {
    answer: Answer,
    subject: String,
    text: String,
    occurred_at: Timestamp,
    references: Vec<String>,
    people: People,
}

/// Who would answer whom, by what the app says.
#[derive(Default)]
struct People {
    mailbox: Option<MailboxRow>,
    /// Address of the mailbox, or who got the message.
    own: Option<Mailbox>,
    author: Option<String>,
    record_id: Option<String>,
}

/// How an event came in, beside what it says.
struct Arrival<'a> {
    app: &'a App,
    mode: Materialize,
    content: serde_json::Value,
    source_event_id: String,
}

/// Evaluates without recording: the same answer as integration-event would give to a tenant of which nothing is known.
///
/// # Errors
/// [`ServiceError::Invalid`] when the request has no content or an unreadable time.
pub fn preview(engine: &Engine, clock: &Clock, submission: Submission) -> Result<Answer, ServiceError> {
    let evaluated = evaluate(engine, submission, Known::default(), clock.now())?;
    Ok(seal(evaluated.answer, None, None))
}

impl Service {
    /// Evaluates without recording, with what is registered for the app.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::Refused`] by the key's bindings, [`ServiceError::Unavailable`].
    pub async fn status(
        &self,
        submission: Submission,
        caller: &Authenticated<StatusEvaluate>,
    ) -> Result<Answer, ServiceError> {
        check_bindings(&submission.request, caller)?;
        let app = self.store.for_tenant(caller.principal().tenant()).app_by_name(&submission.request.app).await?;
        let known = self.known(&submission.request, app.as_ref(), caller).await?;
        let evaluated = evaluate(&self.engine, submission, known, self.clock().now())?;
        Ok(seal(evaluated.answer, None, None))
    }

    /// Records an event and what follows from it, in one transaction, once per (app, sourceSystem, sourceEventId).
    ///
    /// `fingerprint` is SHA-256 over the canonical JSON of the body: members sorted by name, no white space.
    ///
    /// # Errors
    /// As [`Service::status`]; [`ServiceError::Conflict`] when the source's id was used with another body.
    pub async fn event(
        &self,
        mut submission: Submission,
        fingerprint: [u8; 32],
        caller: &Authenticated<StatusEvaluate>,
    ) -> Result<Answer, ServiceError> {
        check_bindings(&submission.request, caller)?;
        let source_event_id = submission.request.source_event_id.clone().filter(|id| !id.is_empty());
        let Some(source_event_id) = source_event_id else {
            return Err(ServiceError::Invalid(vec![Fault::at(
                "/sourceEventId",
                "is required: it makes the call idempotent",
            )]));
        };
        let mode = Materialize::read(submission.request.materialize.as_deref(), &mut submission.warnings);
        // What no tenant could have sent is refused before an app is registered for it.
        reading::read(&submission.request, self.clock().now(), &mut Vec::new()).map_err(ServiceError::Invalid)?;
        let tenant = self.store.for_tenant(caller.principal().tenant());
        let who = Who::Actor(actor_of(caller.principal()));
        let (app, is_new_app) = tenant.app_or_new(&submission.request.app, who).await?;
        let key = SourceKey {
            app_id: app.id,
            source_system: submission.request.source_system.clone(),
            source_event_id: source_event_id.clone(),
            fingerprint,
        };
        let request_id = submission.request_id.clone();
        if let Some(recorded) = tenant.source_event(&key).await? {
            return earlier(recorded, &request_id).ok_or_else(|| Conflict::SourceEvent.into());
        }
        if is_new_app {
            let name = crate::keys::redact(&app.name);
            submission.warnings.push(format!("app {name:?} was not known and was registered"));
        }
        let known = self.known(&submission.request, Some(&app), caller).await?;
        let arrival = Arrival { app: &app, mode, content: content_of(&submission.request), source_event_id };
        let evaluated = evaluate(&self.engine, submission, known, self.clock().now())?;
        let (event, answer) = self.new_event(evaluated, arrival, caller).await?;
        match tenant.record_source_event(key, event).await? {
            Recorded::New => Ok(Answer { request_id: Some(request_id), ..answer }),
            // An equal call was faster: its answer is the answer.
            other => earlier(other, &request_id).ok_or_else(|| Conflict::SourceEvent.into()),
        }
    }

    async fn known(
        &self,
        request: &EventRequest,
        app: Option<&App>,
        caller: &Authenticated<StatusEvaluate>,
    ) -> Result<Known, ServiceError> {
        let tenant = caller.principal().tenant();
        let address = request.source_mailbox.as_ref().and_then(|mailbox| mailbox.address.as_deref());
        let registered = match address.and_then(|address| Mailbox::parse(address).ok()) {
            Some(address) => self.registered_mailbox(&address).await?.filter(|mailbox| mailbox.tenant == tenant),
            None => None,
        };
        Ok(Known {
            profile: app.map(|app| app.profile.clone()).unwrap_or_default(),
            mailbox: registered,
            standing: Standing::Known,
        })
    }

    async fn registered_mailbox(&self, address: &Mailbox) -> Result<Option<MailboxRow>, ServiceError> {
        if let Some((mailbox, _)) = self.store.mailbox_by_address(&address.key()).await? {
            return Ok(Some(mailbox));
        }
        let found = self.store.mailbox_by_address(&address.key_without_detail()).await?;
        Ok(found.map(|(mailbox, _)| mailbox))
    }

    /// Ids, internal work, thread and webhook of an evaluated event.
    async fn new_event(
        &self,
        evaluated: Evaluated,
        arrival: Arrival<'_>,
        caller: &Authenticated<StatusEvaluate>,
    ) -> Result<(NewEvent, Answer), ServiceError> {
        let Arrival { app, mode, content, source_event_id } = arrival;
        let Evaluated { answer, subject, text, occurred_at, references, people } = evaluated;
        let event_id: EventId = self.clock().mint();
        let mut answer = seal(answer, Some(event_id), Some(self.clock()));
        answer.request_id = None;
        let mut work = materialize::materialize(mode, &subject, &mut answer, self.clock());
        // Conversations are kept apart by app: a Message-ID that one app claims says nothing to another.
        let scope = app.id.to_string();
        let thread = self.thread_of(&scope, &references, caller).await?;
        let place = (app.id, thread.as_ref().map(|place| place.thread_id));
        self.write_words(place, (&answer, event_id), (&people, &subject), &mut work, caller).await?;
        let event_type = content.get("eventType").and_then(serde_json::Value::as_str).unwrap_or("app_event").to_owned();
        let webhook = announce::classified(&announce::Announced {
            tenant: caller.principal().tenant(),
            event_id,
            app: Some(&app.name),
            thread: thread.as_ref().map(|place| place.thread_id),
            threading: None,
            source_kind: "app",
            source_event_id: Some(&source_event_id),
            occurred_at,
            answer: &answer,
            base_url: &self.base_url,
        })?;
        let event = NewEvent {
            event_id,
            event_type,
            source_kind: "app".to_owned(),
            source_event_id: Some(source_event_id),
            app_id: Some(app.id),
            scope: Some(scope),
            message_id: None,
            thread,
            occurred_at,
            content: content.to_string(),
            decision: Some(NewDecision { decision_id: self.clock().mint::<DecisionId>(), answer: answer.clone() }),
            tasks: work.tasks,
            approvals: work.approvals,
            drafts: work.drafts,
            webhook,
            text,
            is_quiet: false,
            observed: None,
            returned: None,
            unsubscribed: None,
        };
        Ok((event, answer))
    }

    /// Writes the drafts of an answer, where it can be told who would answer whom.
    async fn write_words(
        &self,
        (app, thread): (AppId, Option<ThreadId>),
        (answer, event): (&Answer, EventId),
        (people, subject): (&People, &str),
        work: &mut materialize::Work,
        caller: &Authenticated<StatusEvaluate>,
    ) -> Result<(), ServiceError> {
        let (Some(own), Some(author)) = (&people.own, &people.author) else { return Ok(()) };
        if work.drafts.is_empty() {
            return Ok(());
        }
        let tenant = caller.principal().tenant();
        let store = self.store.for_tenant(tenant);
        let (templates, bounce_host) = (store.templates().await?, words::bounce_host(&store, own).await?);
        let name = author.split_once('<').map(|(name, _)| name.trim().trim_matches('"'));
        let correspondence = words::Correspondence {
            tenant,
            event,
            app: Some(app),
            mailbox: people.mailbox.as_ref().map(|row| row.id),
            from: own.clone(),
            bounce_host,
            // A conversation of the app is none of the mailbox.
            thread: thread.filter(|_| people.mailbox.is_none()),
            answered: None,
            to: author.clone(),
            name,
            subject,
            record_id: people.record_id.as_deref(),
        };
        words::write(work, answer, &correspondence, &templates, (&self.drafts.reply_tokens, self.clock()));
        Ok(())
    }

    async fn thread_of(
        &self,
        scope: &str,
        references: &[String],
        caller: &Authenticated<StatusEvaluate>,
    ) -> Result<Option<NewThreadPlace>, ServiceError> {
        if references.is_empty() {
            return Ok(None);
        }
        let references: Vec<[u8; 32]> = references.iter().take(64).map(|id| sha256(id.as_bytes())).collect();
        let known = self.store.for_tenant(caller.principal().tenant()).thread_of(scope, &references).await?;
        let thread_id = known.unwrap_or_else(|| self.clock().mint::<ThreadId>());
        Ok(Some(NewThreadPlace { thread_id, references, subjects: Vec::new() }))
    }
}

fn check_bindings(request: &EventRequest, caller: &Authenticated<StatusEvaluate>) -> Result<(), ServiceError> {
    caller.require_app(&request.app)?;
    caller.require_mailbox(request.source_mailbox.as_ref().and_then(|mailbox| mailbox.address.as_deref()))?;
    Ok(())
}

/// The answer of an earlier call; `None` where that had another body.
fn earlier(recorded: Recorded, request_id: &str) -> Option<Answer> {
    match recorded {
        Recorded::Duplicate(answer) => {
            Some(Answer { duplicate: true, request_id: Some(request_id.to_owned()), ..*answer })
        }
        Recorded::Conflict | Recorded::New => None,
    }
}

/// The rules alone: no store, no ids.
fn evaluate(engine: &Engine, submission: Submission, known: Known, now: Timestamp) -> Result<Evaluated, ServiceError> {
    let Submission { mut request, mut warnings, request_id } = submission;
    let context = request.context.take().unwrap_or_default();
    let (identity, reply) = identity::resolve(request.source_mailbox.as_ref(), known.mailbox.as_ref(), &mut warnings);
    let reading = reading::read(&request, now, &mut warnings).map_err(ServiceError::Invalid)?;
    let record_id = context.record_id.clone();
    let app = profile_of(request.app.clone(), context, known.profile);
    let matter = Matter {
        event_type: reading.event_type,
        subject: &reading.subject,
        visible_text: &reading.visible_text,
        full_text: &reading.full_text,
        author: reading.author.as_deref(),
        recipients: &reading.recipients,
        attachments: &reading.attachments,
        automated: reading.automated,
        direction: reading.direction,
        occurred_at: reading.occurred_at,
        reply,
    };
    let mut decision = engine.decide(&matter, &app);
    machine::suppress_failed(&mut decision, reading.notice.as_ref());
    let (subject, text) = (reading.subject.clone().into_owned(), reading.visible_text.clone());
    let (occurred_at, references) = (reading.occurred_at, reading.references);
    let trust = trust::block_of(&decision, known.standing);
    let claimed = request.source_mailbox.as_ref().and_then(|mailbox| mailbox.address.as_ref());
    let registered = known.mailbox.as_ref().map(|row| &row.address);
    let bare = |text: &String| {
        let bare = text.split_once('<').map_or(text.as_str(), |(_, rest)| rest.trim_end().trim_end_matches('>'));
        Mailbox::parse(bare).ok()
    };
    let own = registered.or(claimed).or(reading.recipients.first()).and_then(bare);
    let author = reading.author.as_deref().map(str::to_owned);
    let people = People { mailbox: known.mailbox, own, author, record_id };
    let answer = answer_of(decision, identity, trust, warnings, Some(request_id));
    Ok(Evaluated { answer, subject, text, occurred_at, references, people })
}

pub(crate) fn answer_of(
    decision: Decision,
    identity: crate::contract::answer::IdentityBlock,
    trust: crate::contract::answer::TrustBlock,
    warnings: Vec<String>,
    request_id: Option<String>,
) -> Answer {
    let operations = decision.operations.into_iter().map(|proposed| Operation {
        id: None,
        kind: proposed.kind,
        label: proposed.label,
        approval_required: proposed.approval_required,
        mode: proposed.mode,
        risk: proposed.risk,
        reasons: proposed.reasons,
        params: proposed.params,
        idempotency_key: String::new(),
        expires_at: None,
        confidence: proposed.confidence,
    });
    Answer {
        event_id: None,
        request_id,
        duplicate: false,
        canonical: decision.canonical,
        mapped: decision.mapped,
        operations: operations.collect(),
        identity,
        trust,
        graph_hints: decision.graph_hints,
        materialized: Materialized { mode: "none".to_owned(), tasks: vec![], approvals: vec![], drafts: vec![] },
        reasoning: decision.reasoning,
        warnings,
    }
}

/// What the request says about the record, over what is registered for the app.
fn profile_of(name: String, mut context: AppContext, registered: AppProfileRow) -> AppProfile {
    if context.allowed_statuses.is_empty() {
        context.allowed_statuses = registered.allowed_statuses;
    }
    if context.inboxes.is_empty() {
        context.inboxes = registered.inboxes;
    }
    for (canonical, own) in registered.status_map {
        context.status_map.entry(canonical).or_insert(own);
    }
    context.industry = context.industry.or(registered.industry);
    AppProfile { name, context, synonyms: registered.synonyms }
}

/// Gives an answer its event, its operations' ids (where a clock mints them), and their idempotency keys.
///
/// The mail pipeline seals its answers with this too, so that a key means the same whichever door the event came by.
#[must_use]
pub fn seal(mut answer: Answer, event: Option<EventId>, clock: Option<&Clock>) -> Answer {
    let event = event.map(|event| event.to_string());
    for operation in &mut answer.operations {
        operation.id = clock.map(|clock| clock.mint::<OperationId>().to_string());
        operation.idempotency_key = idempotency_key(event.as_deref().unwrap_or_default(), operation);
    }
    answer.event_id = event;
    answer
}

/// 32 hexadecimal digits of SHA-256 over event, type, label and params: the same work of the same event has the same key.
fn idempotency_key(event: &str, operation: &Operation) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    let params = operation.params.to_string();
    for part in [event, operation.kind.as_str(), &operation.label, &params] {
        // The length in front keeps two texts from running into each other.
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part.as_bytes());
    }
    hex(context.finish().as_ref().get(..16).unwrap_or_default())
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    text
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0u8; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// The stored event: what the app sent, with the version of the form.
fn content_of(request: &EventRequest) -> serde_json::Value {
    let mut content = serde_json::to_value(request).unwrap_or_default();
    if let Some(members) = content.as_object_mut() {
        members.insert("v".into(), crate::event::VERSION.into());
        members.insert("kind".into(), "app".into());
        if !reading::EVENT_TYPES.contains(&request.event_type.as_str()) {
            members.insert("givenEventType".into(), request.event_type.clone().into());
            members.insert("eventType".into(), "app_event".into());
        }
    }
    content
}
