//! One message as each of its mailboxes and routes sees it: event, decision, and what follows.

use std::borrow::Cow;
use std::sync::Arc;

use super::again::Again;
use super::threads::{Asked, NewThreads, Placed};
use super::words::Answered;
use super::{Ingest, authenticity, marked};
use crate::contract::answer::Answer;
use crate::contract::request::AttachmentRef;
use crate::decide::{AppProfile, Decision, Direction, Matter, ReplyOwner};
use crate::event::privacy::erase_texts;
use crate::event::{self, CanonicalEvent, UntrustedReason, View};
use crate::ids::{AppId, EventId, TenantId};
use crate::mail::address::Mailbox;
use crate::mail::authentication::Authentication;
use crate::mail::bounce_path::bounce_path;
use crate::mail::copy::{self, RouteAddresses};
use crate::mail::envelope::{Manifest, Recipient};
use crate::mail::key;
use crate::mail::message::Defect;
use crate::mail::notice::{Automated, FailedRecipient, Permanence};
use crate::mail::reading::Opened;
use crate::mail::retention::Keep;
use crate::mail::selection::{Chosen, LeftOut};
use crate::service::announce::{self, Announced};
use crate::service::identity::{self, Standing};
use crate::service::materialize::{Materialize, Work};
use crate::service::{evaluate, machine, trust};
use crate::spool::StoredMessage;
use crate::store::StoreError;
use crate::store::directory::{App, MailboxRow};
use crate::store::events::{NewDecision, NewEvent, NewObserved};
use crate::store::ingest::{Kept, NewCopy, NewView};
use crate::store::routes::RouteRow;
use crate::store::sent::NewReturned;
use crate::store::standing::SuppressionReason;
use crate::store::watch::Alarm;

/// Octets of each text that an event keeps: the whole is in the spool, and every recipient has an event of its own.
pub(super) const STORED_TEXT: usize = 64 * 1024;

/// The recipient's row, its app, and the name under which threads and copies are kept apart.
struct Place {
    scope: String,
    mailbox: Option<Arc<MailboxRow>>,
    route: Option<Arc<RouteRow>>,
    app: Option<Arc<App>>,
}

/// A message as its mailboxes and routes see it.
#[derive(Default)]
pub(super) struct Views {
    pub(super) views: Vec<NewView>,
    /// The routes that it reached, whether or not it is believed there.
    pub(super) copies: Vec<NewCopy>,
    /// Where it is not believed, and why.
    pub(super) held: Vec<(String, Kept)>,
}

/// One message, and what was found out about it.
#[derive(Clone, Copy)]
struct Found<'a> {
    manifest: &'a Manifest,
    opened: &'a Opened,
    authentication: &'a Authentication,
    /// Where it is read again: for which route, and what is known of it there.
    again: Option<&'a Again>,
}

impl Ingest {
    /// A view for each recipient, or why the message is held; where it is read again, for that route alone.
    pub(super) async fn views(
        &self,
        stored: &StoredMessage,
        opened: &[Opened],
        authentication: &Authentication,
        again: Option<&Again>,
        threads: &mut NewThreads,
    ) -> Result<Views, StoreError> {
        let manifest = &stored.manifest;
        let mut found_views = Views::default();
        let Views { views, copies, held } = &mut found_views;
        for path in &manifest.envelope.forward_paths {
            let place = self.place(path.recipient).await?;
            // One mailbox under several details is one view.
            if views.iter().any(|view| view.scope == place.scope) {
                continue;
            }
            if again.is_some_and(|again| !again.is_about(path.recipient)) {
                continue;
            }
            let kept_marks = again.and_then(|again| again.marks.as_ref());
            let (recipient, marks) = marked::judged(path.recipient, place.route.as_deref(), authentication, kept_marks);
            let mut read_for_it = opened.iter().filter(|opened| opened.reader() == recipient.reader());
            let step = read_for_it
                .find_map(|opened| step_of_set_up(opened, manifest, authentication))
                .filter(|_| may_be_believed(recipient));
            if let Recipient::Route { route, .. } = recipient
                && copies.iter().all(|copy: &NewCopy| copy.route != route)
            {
                let tells_of_loss =
                    |opened: &&Opened| opened.reader() == recipient.reader() && opened.tells_of_a_loss();
                let loss = opened.iter().find(tells_of_loss).map(|_| Alarm::JournalLost);
                copies.push(NewCopy {
                    route,
                    marks: marks.clone(),
                    keep: Keep::Raw,
                    alarm: loss.or((step == Some(FORWARD_CONFIRMATION)).then_some(Alarm::ForwardConfirmation)),
                    tests_connector: step == Some(CONNECTOR_VALIDATION),
                    held: None,
                });
            }
            for opened in opened.iter().filter(|opened| opened.reader() == recipient.reader()) {
                if let Some(step) = step {
                    held.push((place.scope.clone(), Kept::Excluded(step)));
                    continue;
                }
                let (copy_key, id_key) = self.keys(opened, stored, authentication);
                // Some mail programs attach one message twice.
                if views.iter().any(|view| view.scope == place.scope && view.copy_key == copy_key) {
                    continue;
                }
                let found = Found { manifest, opened, authentication, again };
                let event = self.event(found, recipient, &place, threads).await?;
                if let (Ok(_) | Err(Kept::Excluded(_)), Some(row)) = (&event, &place.route) {
                    // What is held may still be decided on, and is needed for that.
                    for copy in copies.iter_mut().filter(|copy| copy.route == row.id) {
                        copy.keep = row.retention.at_decision();
                    }
                }
                match event {
                    Ok(event) => views.push(NewView { scope: place.scope.clone(), copy_key, id_key, event }),
                    // The copy for another recipient may be believed all the same.
                    Err(reason) => {
                        let reason = match (reason, &place.route) {
                            (Kept::Held("peer_not_authorised"), Some(row)) if marks.is_some() => {
                                Kept::Held(marked::reason(row, manifest.received_at))
                            }
                            (reason, _) => reason,
                        };
                        note_held(copies, recipient, &reason);
                        held.push((place.scope.clone(), reason));
                    }
                }
            }
        }
        Ok(found_views)
    }

    /// By what copies of the message are known, and others that came under its Message-ID.
    fn keys(
        &self,
        opened: &Opened,
        stored: &StoredMessage,
        authentication: &Authentication,
    ) -> ([u8; 32], Option<[u8; 32]>) {
        // What was found out is about the message that was handed over, and not about one inside it.
        let is_disowned = !opened.is_unwrapped() && authentication.failure().is_some();
        let goes_in_a_circle = opened.goes_in_a_circle(&self.settings.own_hosts);
        let own = |key| if is_disowned { key::unauthenticated(key) } else { key };
        let own = |key| if goes_in_a_circle { key::circling(own(key)) } else { own(key) };
        let copy_key = key::copy_key(opened.message(), stored.body.sha256());
        (own(copy_key), key::id_key(opened.message()).map(own))
    }

    async fn place(&self, recipient: Recipient) -> Result<Place, StoreError> {
        match recipient {
            Recipient::Mailbox { tenant, mailbox } => {
                let row = self.directory.mailbox(tenant, mailbox).await?;
                let app = self.app(tenant, row.as_ref().and_then(|row| row.app)).await?;
                Ok(Place { scope: mailbox.to_string(), mailbox: row, route: None, app })
            }
            Recipient::Route { tenant, route, .. } => {
                let row = self.directory.route(tenant, route).await?;
                let app = self.app(tenant, row.as_ref().and_then(|row| row.app)).await?;
                Ok(Place { scope: route.to_string(), mailbox: None, route: row, app })
            }
        }
    }

    async fn app(&self, tenant: TenantId, app: Option<AppId>) -> Result<Option<Arc<App>>, StoreError> {
        match app {
            Some(app) => self.directory.app(tenant, app).await,
            None => Ok(None),
        }
    }

    async fn event(
        &self,
        found: Found<'_>,
        recipient: Recipient,
        place: &Place,
        threads: &mut NewThreads,
    ) -> Result<Result<NewEvent, Kept>, StoreError> {
        let Found { manifest, opened, authentication, again } = found;
        let tenant = recipient.tenant();
        let facts = self.directory.tenant(tenant).await?;
        let asked = Asked {
            recipient,
            scope: &place.scope,
            message: opened.message(),
            outer: opened.outer(),
            manifest,
            owned_domains: &facts.domains,
        };
        let Placed { threading, place: thread_place } = self.thread(asked, threads).await?;
        let thread = thread_place.thread_id;
        let clock = self.store.clock();
        let view = View {
            id: clock.mint::<EventId>(),
            recipient,
            own_hosts: &self.settings.own_hosts,
            owned_domains: &facts.domains,
            route_addresses: &facts.route_addresses,
            thread,
            threading: threading.clone(),
            authors: place.route.as_deref().map_or(&[], |row| &row.authors),
            authentication,
            failure_policy: place.mailbox.as_deref().map(|row| row.authentication_policy).unwrap_or_default(),
            is_released: again.is_some_and(|again| again.is_released),
        };
        let mut event = event::from_mail(opened, manifest, &view);
        if !event.trusted {
            return Ok(Err(kept(&event)));
        }
        if let Some(reason) = place.route.as_deref().and_then(|row| left_out(row, &event)) {
            return Ok(Err(Kept::Excluded(reason.as_str())));
        }
        event.about = self.about(&event).await?;
        let mut warnings = Vec::new();
        let (identity, reply) = identity::resolve(None, place.mailbox.as_deref(), &mut warnings);
        let mut decision = self.decide(&event, reply, place.app.as_deref());
        let quiet = manifest.quiet || event.defects.contains(&Defect::LoopSuspect);
        if quiet {
            decision.operations.clear();
        }
        let observing = place.route.as_deref().filter(|row| row.is_observed(manifest.received_at) && !quiet);
        machine::suppress_failed(&mut decision, event.automated.as_ref());
        event.language.clone_from(&decision.canonical.language);
        event.cut_texts(STORED_TEXT);
        authenticity::tell(&event.authentication, &mut decision.reasoning.signals);
        let mut trust = trust::block_of(&decision, Standing::Known);
        authenticity::doubt(&event.authentication, &mut trust);
        let answer = evaluate::answer_of(decision, identity, trust, warnings, None);
        let mut answer = evaluate::seal(answer, Some(event.id), Some(clock));
        let mode = if quiet { Materialize::None } else { Materialize::Safe };
        let keeps_nothing = place.route.as_deref().is_some_and(|row| row.retention.at_decision() == Keep::None);
        let (mailbox, app) = (place.mailbox.as_deref(), place.app.as_deref().map(|app| app.id));
        let answered = Answered { event: &event, mailbox, app, owned_domains: &facts.domains, keeps_nothing };
        let mut work = self.work_of(&answered, mode, &mut answer).await?;
        let observed = observing.map(|row| observe(row, &mut answer, &mut work));
        let returned = returned(&event, found).filter(|_| !quiet && observed.is_none());
        let unsubscribed = unsubscribed(&event, found, &answer).filter(|_| !quiet && observed.is_none());
        if keeps_nothing {
            forget_evidence(&mut answer);
        }
        let webhook = announce::classified(&Announced {
            tenant,
            event_id: event.id,
            app: place.app.as_deref().map(|app| app.name.as_str()),
            thread: Some(thread),
            threading: Some(threading),
            source_kind: source_kind(&event),
            source_event_id: event.rfc_message_id.as_deref(),
            occurred_at: manifest.received_at,
            answer: &answer,
            base_url: &self.settings.public_url,
        })
        .map_err(|error| StoreError::Unreadable { what: "answer", detail: error.to_string() })?;
        let (content, text) = kept_texts(&mut event, keeps_nothing)?;
        Ok(Ok(NewEvent {
            event_id: event.id,
            event_type: event.event_type.as_str().to_owned(),
            source_kind: source_kind(&event).to_owned(),
            source_event_id: event.rfc_message_id.clone(),
            app_id: place.app.as_deref().map(|app| app.id),
            scope: Some(place.scope.clone()),
            message_id: Some(manifest.id),
            thread: Some(thread_place),
            occurred_at: manifest.received_at,
            content,
            decision: Some(NewDecision { decision_id: clock.mint(), answer }),
            tasks: work.tasks,
            approvals: work.approvals,
            drafts: work.drafts,
            webhook,
            text,
            is_quiet: quiet || observed.is_some(),
            observed,
            returned,
            unsubscribed,
        }))
    }

    fn decide(&self, event: &CanonicalEvent, reply: ReplyOwner, app: Option<&App>) -> Decision {
        // What a report alone names, no decision may tell.
        let is_secret = |one: &&event::EventRecipient| {
            event.source.kind == event::Kind::Journal && one.recipient_type == copy::RecipientType::Bcc
        };
        let told = event.recipients.iter().filter(|one| !is_secret(one));
        let recipients: Vec<String> = told.map(|recipient| recipient.address.clone()).collect();
        let attachments: Vec<AttachmentRef> = event
            .attachments
            .iter()
            .map(|attachment| AttachmentRef {
                filename: attachment.filename.clone(),
                content_type: Some(attachment.content_type.clone()),
                size: Some(attachment.size),
            })
            .collect();
        let author = event.author.as_ref().map(|author| match &author.display_name {
            Some(name) => format!("{name} <{}>", author.address),
            None => author.address.clone(),
        });
        // Abuse is looked for in what a reader does not see as well.
        let full_text = match event.hidden_text.as_str() {
            "" => Cow::Borrowed(event.text.as_str()),
            hidden => Cow::Owned(format!("{}\n\n{hidden}", event.text)),
        };
        let matter = Matter {
            event_type: event.event_type.as_str(),
            subject: &event.subject,
            visible_text: &event.visible_text,
            full_text: &full_text,
            author: author.as_deref(),
            recipients: &recipients,
            attachments: &attachments,
            automated: event.automated.as_ref().map(machine::kind),
            direction: match event.direction {
                copy::Direction::Outbound => Direction::Outbound,
                _ => Direction::Inbound,
            },
            occurred_at: event.received_at,
            reply,
        };
        self.engine.decide(&matter, &profile(app))
    }
}

/// The test of a connector.
const CONNECTOR_VALIDATION: &str = "connector_validation";
/// A provider's question whether it may forward to a route.
const FORWARD_CONFIRMATION: &str = "forward_confirmation";

/// What a message is that is no mail of anybody's, and no fault of the set-up either: a step of it.
fn step_of_set_up(opened: &Opened, manifest: &Manifest, authentication: &Authentication) -> Option<&'static str> {
    match opened {
        opened if opened.tests_a_connector() => Some(CONNECTOR_VALIDATION),
        // What only pretends to be the provider's must not have its link followed.
        opened
            if opened.asks_to_confirm_a_forward(|| RouteAddresses::new(manifest.route_addresses()))
                && authentication.failure().is_none() =>
        {
            Some(FORWARD_CONFIRMATION)
        }
        _ => None,
    }
}

/// Notes why the copy is held at its route: of several messages in it, the first reason.
fn note_held(copies: &mut [NewCopy], recipient: Recipient, reason: &Kept) {
    let (Recipient::Route { route, .. }, Kept::Held(word)) = (recipient, reason) else { return };
    for copy in copies.iter_mut().filter(|copy| copy.route == route) {
        copy.held.get_or_insert(word);
    }
}

/// Whether whoever hands the copy over is named by the route, or in a network that it names.
const fn may_be_believed(recipient: Recipient) -> bool {
    matches!(recipient, Recipient::Route { peer_authorised, shared_range, .. } if peer_authorised || shared_range)
}

/// What an app registered, as the engine takes it.
fn profile(app: Option<&App>) -> AppProfile {
    let Some(app) = app else { return AppProfile { name: "connex".to_owned(), ..AppProfile::default() } };
    let mut profile = AppProfile { name: app.name.clone(), ..AppProfile::default() };
    profile.context.status_map.clone_from(&app.profile.status_map);
    profile.context.allowed_statuses.clone_from(&app.profile.allowed_statuses);
    profile.context.inboxes.clone_from(&app.profile.inboxes);
    profile.context.industry.clone_from(&app.profile.industry);
    profile.synonyms.clone_from(&app.profile.synonyms);
    profile
}

/// Types of a feedback report by which a recipient says that he does not want the mail; none is taken as `abuse`.
const COMPLAINTS: [&str; 5] = ["", "abuse", "fraud", "opt-out", "virus"];

/// What a report tells of a message that may have been sent from here. One that its author's domain disowns is anybody's.
/// Of quiet and observed mail nothing follows, whatever it tells.
fn returned(event: &CanonicalEvent, Found { manifest, opened, authentication, .. }: Found<'_>) -> Option<NewReturned> {
    let found = event.automated.as_ref()?;
    if !opened.is_unwrapped() && authentication.failure().is_some() {
        return None;
    }
    let id_key = found.original_message_id().map(key::id_key_of);
    let path = manifest.envelope.forward_paths.iter().find_map(|path| bounce_path(&path.mailbox));
    if id_key.is_none() && path.is_none() {
        return None;
    }
    let keys = || {
        let addresses = found.condemned().flat_map(FailedRecipient::addresses);
        addresses.filter_map(|address| Mailbox::parse(address).ok()).map(|mailbox| mailbox.key()).collect()
    };
    let (addresses, reason) = match found {
        // At the reverse-path of one message, one that does not say whom it is about can only be about its one recipient.
        Automated::Bounce { permanence: Permanence::Hard, recipients, .. }
            if recipients.is_empty() && path.is_some() =>
        {
            (None, SuppressionReason::HardBounce)
        }
        Automated::Bounce { .. } => (Some(keys()), SuppressionReason::HardBounce),
        // RFC 5965 §7.3: other types tell of failed authentication, or that it was no spam.
        Automated::Complaint { feedback_type, .. } if COMPLAINTS.contains(&feedback_type.as_str()) => {
            (None, SuppressionReason::Complaint)
        }
        _ => return None,
    };
    Some(NewReturned { id_key, path, addresses, reason })
}

/// Whose author asks for no more mail: one that their domain stands behind. What another server handed over stays for the app
/// to answer, by the operation: nobody here saw who sent it.
fn unsubscribed(
    event: &CanonicalEvent,
    Found { opened, authentication, .. }: Found<'_>,
    answer: &Answer,
) -> Option<String> {
    let is_proven = !opened.is_unwrapped() && authentication.author_domain().is_some();
    let is_asked = answer.canonical.status == UNSUBSCRIBE && !answer.reasoning.abstained && event.automated.is_none();
    let is_theirs = event.direction != copy::Direction::Outbound;
    let author = event.author.as_ref().filter(|_| is_proven && is_asked && is_theirs)?;
    Mailbox::parse(&author.address).ok().map(|mailbox| mailbox.key())
}

/// The status by which people ask for no more mail.
const UNSUBSCRIBE: &str = "unsubscribe_requested";

/// What would have followed; nothing does.
fn observe(row: &RouteRow, answer: &mut Answer, work: &mut Work) -> NewObserved {
    let operations = std::mem::take(&mut answer.operations);
    let Work { tasks, approvals, drafts } = std::mem::take(work);
    NewObserved {
        route: row.id,
        operations: operations.iter().map(|one| one.kind.as_str().to_owned()).collect(),
        tasks: tasks.len(),
        approvals: approvals.len(),
        drafts: drafts.len(),
    }
}

/// Takes the words out by which an answer gives its reasons.
fn forget_evidence(answer: &mut Answer) {
    answer.reasoning.signals.iter_mut().for_each(|signal| signal.evidence = None);
    answer.trust.abuse_signals.iter_mut().for_each(|signal| signal.evidence = None);
}

/// The event as it is stored, and the text of which payloads show a part.
fn kept_texts(event: &mut CanonicalEvent, keeps_nothing: bool) -> Result<(String, String), StoreError> {
    let (content, text) = match keeps_nothing {
        true => (without_texts(event), String::new()),
        false => (serde_json::to_string(event), std::mem::take(&mut event.visible_text)),
    };
    Ok((content.map_err(|error| super::unwritable("event", &error))?, text))
}

/// The event as it is stored where none of its texts is kept.
fn without_texts(event: &CanonicalEvent) -> Result<String, serde_json::Error> {
    let mut content = serde_json::to_value(event)?;
    erase_texts(&mut content);
    serde_json::to_string(&content)
}

/// Why the route takes no notice of this copy.
fn left_out(row: &RouteRow, event: &CanonicalEvent) -> Option<LeftOut> {
    let named = [&event.author, &event.sender].into_iter().flatten().map(|one| one.address.as_str());
    let decoded = event.envelope.mail_from_decoded.as_deref();
    let recipients = event.recipients.iter().map(|one| one.address.as_str());
    let told = event.envelope.rcpt_to.iter().map(String::as_str);
    let envelope = decoded.into_iter().chain([event.envelope.mail_from.as_str()]);
    let people: Vec<&str> = named.chain(envelope).chain(recipients).chain(told).collect();
    let list = event.list.as_ref();
    row.selection.leaves_out(&Chosen { people: &people, groups: &event.groups, direction: event.direction, list })
}

fn kept(event: &CanonicalEvent) -> Kept {
    match event.untrusted_reasons.first() {
        Some(UntrustedReason::AuthorAmbiguous) if event.source.kind == event::Kind::Direct => {
            Kept::Quarantined("author_ambiguous")
        }
        Some(UntrustedReason::AuthorAmbiguous) => Kept::Held("author_ambiguous"),
        Some(UntrustedReason::AuthorUnauthenticated) => Kept::Quarantined("author_unauthenticated"),
        Some(UntrustedReason::FormatMismatch) => Kept::Held("format_mismatch"),
        Some(UntrustedReason::NoOwnedParticipant) => Kept::Held("no_owned_participant"),
        Some(UntrustedReason::ReturnedReport) => Kept::Held("returned_report"),
        Some(UntrustedReason::AuthorNotListed) => Kept::Held("author_not_listed"),
        Some(UntrustedReason::NestedReport) => Kept::Held("nested_report"),
        Some(UntrustedReason::PeerNotAuthorised) | None => Kept::Held("peer_not_authorised"),
    }
}

fn source_kind(event: &CanonicalEvent) -> &'static str {
    match event.source.kind {
        event::Kind::Direct => "direct",
        event::Kind::Bcc => "bcc",
        event::Kind::Journal => "journal",
        event::Kind::Forward => "forward",
        event::Kind::Milter => "milter",
        event::Kind::Report => "report",
        event::Kind::App => "app",
        event::Kind::Import => "import",
    }
}
