//! Every endpoint, called by a tenant that knows all ids of another: it gets nothing of it, and changes nothing of it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;

use super::super::endpoints::{Action, ENDPOINTS, Endpoint};
use super::*;
use crate::contract::webhook::PayloadMode;
use crate::store::directory::{AppProfileRow, NewMailbox};
use crate::store::ingest::{Kept, NewCopy, NewMessage, Progress, SpoolCursor};
use crate::store::webhooks::NewEndpoint;

/// What stands in everything that the owner handed over or set, and in nothing that the stranger sends.
const MARK: &str = "saltwater";
/// A domain that the owner has claimed, and the stranger claims too.
const DOMAIN: &str = "harbor.example";
/// One that the owner alone has claimed.
const UNCLAIMED: &str = "lighthouse.example";
const STREAM: &str = "/api/v1/events/stream";

/// A call of the stranger.
struct Call {
    verb: &'static str,
    path: String,
    body: Value,
    answer: Answered,
}

enum Answered {
    /// 404: there is no such thing.
    Unknown,
    /// What was answered before the other tenant had anything.
    AsBefore,
    /// Something of the stranger's own, or of nobody's.
    Own,
    /// 422: it names what the stranger has not.
    Refused,
}

/// The owner's ids.
struct Ids {
    tenant: String,
    /// Of everything that can be explained.
    chains: Vec<String>,
    message: String,
    route: String,
    event: String,
    operation: String,
    draft: String,
    approval: String,
    /// All of them.
    all: BTreeSet<String>,
}

#[tokio::test]
async fn no_endpoint_gives_a_stranger_anything_on_sqlite() {
    no_endpoint_gives_a_stranger_anything(Engine::Sqlite).await;
}

#[tokio::test]
async fn no_endpoint_gives_a_stranger_anything_on_postgresql() {
    no_endpoint_gives_a_stranger_anything(Engine::Postgres).await;
}

async fn no_endpoint_gives_a_stranger_anything(engine: Engine) {
    let owner = Gateway::on(engine, |settings| settings.heartbeat = Duration::from_millis(20)).await;
    let stranger = owner.another_tenant("stranger").await;
    let (owners, strangers) = (owner.key().await, stranger.key().await);
    let mut before = Vec::new();
    for call in ENDPOINTS.iter().flat_map(|endpoint| calls(endpoint, &Ids::none())) {
        // Also its own, so that what it has is the same later.
        match call.answer {
            Answered::Unknown | Answered::Refused => {}
            Answered::Own => drop(stranger.call(&call, &strangers).await),
            Answered::AsBefore => before.push(stranger.call(&call, &strangers).await.1),
        }
    }
    let mut before = before.into_iter();
    let ids = fill(&owner, &owners).await;
    let owned = told(&owner, &owners, &ids).await;
    for endpoint in ENDPOINTS {
        for call in calls(endpoint, &ids) {
            let (status, text) = stranger.call(&call, &strangers).await;
            let place = format!("{} {}: {status} {text}", endpoint.verb.as_str(), call.path);
            assert!(!text.to_lowercase().contains(MARK), "{place}");
            // A problem names the path that was asked for.
            let text = text.replace(&call.path, "");
            assert!(ids.all.iter().all(|id| !text.contains(id)), "{place}");
            match call.answer {
                Answered::Unknown => assert_eq!(status, StatusCode::NOT_FOUND, "{place}"),
                Answered::AsBefore => assert_eq!(Some(text), before.next(), "{place}"),
                Answered::Own => assert!(status.is_success(), "{place}"),
                Answered::Refused => assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{place}"),
            }
        }
    }
    stranger.follow_nothing(&strangers).await;
    assert_eq!(told(&owner, &owners, &ids).await, owned, "the owner's is as it was");
}

/// What a stranger may try at an endpoint. A new action does not compile without a row here.
#[expect(clippy::too_many_lines, reason = "a table: one row for each action")]
fn calls(endpoint: &Endpoint, ids: &Ids) -> Vec<Call> {
    let verb = endpoint.verb.as_str();
    let call = |path: &str, body: Value, answer| Call { verb, path: path.to_owned(), body, answer };
    let here = |answer| vec![call(endpoint.path, Value::Null, answer)];
    let of = |id: &str| call(&endpoint.path.replace("{id}", id), Value::Null, Answered::Unknown);
    match endpoint.action {
        Action::Preview | Action::Status => vec![call(endpoint.path, mailed("evt_1"), Answered::AsBefore)],
        // The same name for an event is another event of another tenant.
        Action::Event => vec![call(endpoint.path, mailed("evt_1"), Answered::Own)],
        Action::Outcome => [
            json!({ "eventId": ids.event }),
            json!({ "operationId": ids.operation }),
            json!({ "eventId": ids.event, "operationId": ids.operation }),
            json!({ "sourceSystem": "crm", "sourceEventId": "evt_of_owner" }),
        ]
        .into_iter()
        .map(|mut body| {
            body["app"] = json!("crm");
            body["outcome"] = json!("won");
            call(endpoint.path, body, Answered::Unknown)
        })
        .collect(),
        Action::Insights => ["status", "area", "priority", "source"]
            .map(|group| call(endpoint.path, json!({ "groupBy": group }), Answered::AsBefore))
            .into_iter()
            .chain([call(endpoint.path, json!({ "app": "crm-of-owner" }), Answered::Unknown)])
            .collect(),
        Action::Trust => vec![
            call(endpoint.path, json!({}), Answered::AsBefore),
            call(endpoint.path, json!({ "app": "crm-of-owner" }), Answered::Unknown),
        ],
        Action::KeyCheck => vec![call(endpoint.path, json!({}), Answered::Own)],
        Action::Events => [0, 1, 2]
            .map(|after| format!("{}?after={after}", endpoint.path))
            .iter()
            .map(|path| {
                // The stranger's own event is there by now.
                call(path, Value::Null, Answered::Own)
            })
            .collect(),
        Action::Explain => ids.chains.iter().map(|id| of(id)).collect(),
        Action::Message | Action::RawMessage | Action::MessageBody | Action::AuthResults => vec![of(&ids.message)],
        Action::Attachment | Action::AttachmentLink => {
            let path = endpoint.path.replace("{number}", "0").replace("{id}", &ids.message);
            vec![call(&path, Value::Null, Answered::Unknown)]
        }
        // Without its signature; `messages` tries others.
        Action::LinkedAttachment => {
            let path = endpoint.path.replace("{tenant}", &ids.tenant).replace("{message}", &ids.message);
            vec![call(&path.replace("{number}", "0"), Value::Null, Answered::Unknown)]
        }
        // Whoever claims what another has claimed has a claim, and a secret, of its own.
        Action::DomainClaim => ["strange.example", DOMAIN]
            .map(|domain| call(endpoint.path, json!({ "domain": domain }), Answered::Own))
            .into(),
        Action::Domains => here(Answered::Own),
        Action::Domain | Action::DomainRemove | Action::DomainCheck | Action::DomainRecords => vec![of(UNCLAIMED)],
        Action::DraftCreate => {
            let body = json!({ "mailbox": "deals@gate.example", "to": ["a@b.example"], "subject": "s", "text": "t" });
            vec![call(endpoint.path, body, Answered::Refused)]
        }
        Action::Drafts | Action::Approvals => here(Answered::Own),
        Action::Draft | Action::DraftCancel | Action::DraftCheck | Action::DraftRelease | Action::DraftWithdraw => {
            vec![of(&ids.draft)]
        }
        Action::DraftReport => {
            let path = endpoint.path.replace("{id}", &ids.draft);
            vec![call(&path, json!({ "outcome": "discarded" }), Answered::Unknown)]
        }
        Action::Approval => vec![of(&ids.approval)],
        // Of another's release: `a_receipt_is_told_to_its_tenant_alone` tries a true one.
        Action::Receipt => vec![of("rel_00000000000000000000000000")],
        Action::AuditHead | Action::AuditLog => here(Answered::Own),
        Action::DraftEdit => {
            vec![call(
                &endpoint.path.replace("{id}", &ids.draft),
                json!({ "version": 1, "text": "t" }),
                Answered::Unknown,
            )]
        }
        // What a conversation holds is for the tests of the store.
        Action::ThreadReply => {
            let path = endpoint.path.replace("{id}", "thr_00000000000000000000000000");
            vec![call(&path, json!({ "text": "t" }), Answered::Unknown)]
        }
        Action::Routes => here(Answered::Own),
        Action::RouteMake => vec![call(endpoint.path, json!({ "kind": "bcc", "app": "crm" }), Answered::Own)],
        Action::Route | Action::RouteMarks | Action::RouteReconciliation | Action::RouteHeld | Action::RouteStep(_) => {
            vec![of(&ids.route)]
        }
        Action::RouteChange
        | Action::RouteRotate
        | Action::RouteLearn
        | Action::RouteConfirm
        | Action::RouteRedecide => {
            let path = endpoint.path.replace("{id}", &ids.route);
            vec![call(&path, crate::http::documents::example_of(endpoint), Answered::Unknown)]
        }
        Action::ProblemPage => vec![call("/problems/not-found", Value::Null, Answered::Own)],
        // What is uploaded is one's own; a draft that names another's upload is for the tests of drafts.
        Action::Upload => Vec::new(),
        // Has no JSON body: `tests/it` hands mail in for another's mailbox.
        Action::IntakeRaw | Action::Delivery(_) => Vec::new(),
        // No key opens them; `people` tries what a person of another tenant gets.
        Action::Decision
        | Action::BatchDecision
        | Action::Login
        | Action::Logout
        | Action::StepUp
        | Action::Sessions
        | Action::SessionEnd
        | Action::Users
        | Action::UserAdd
        | Action::UserChange
        | Action::Invites
        | Action::InviteMake
        | Action::InviteWithdraw
        | Action::Issuers
        | Action::IssuerRegister
        | Action::IssuerRemove
        | Action::DomainRelay
        | Action::DomainRelaySet
        | Action::DomainRelayRemove
        | Action::Policy
        | Action::PolicyMake
        | Action::PolicyTry
        | Action::Pauses
        | Action::Pause
        | Action::Resume
        | Action::Suppressions
        | Action::Suppress
        | Action::Unsuppress
        | Action::DraftSettle
        | Action::Erase => Vec::new(),
        // Does not end by itself: `follow_nothing`.
        Action::EventStream => Vec::new(),
        Action::OpenApi
        | Action::Discovery
        | Action::LlmsText
        | Action::SecurityText
        | Action::Docs
        | Action::DocsMarkdown => here(Answered::Own),
    }
}

/// An event at the owner's mailbox, in the app of the owner's name.
fn mailed(id: &str) -> Value {
    let mut body = event(id);
    body["sourceMailbox"] = json!({ "address": "deals@gate.example" });
    body["message"]["inReplyTo"] = json!("<first@gate.example>");
    body
}

impl Ids {
    fn none() -> Self {
        let none = String::new;
        Self {
            chains: Vec::new(),
            tenant: none(),
            message: none(),
            route: none(),
            event: none(),
            operation: none(),
            draft: none(),
            approval: none(),
            all: BTreeSet::new(),
        }
    }
}

impl Gateway {
    /// The same gateway, for another tenant.
    pub(super) async fn another_tenant(&self, name: &str) -> Self {
        Self {
            tenant: self.store.add_tenant(name).await.unwrap(),
            router: self.router.clone(),
            api: Arc::clone(&self.api),
            store: self.store.clone(),
            clock: self.clock.clone(),
            place: self.place.clone(),
        }
    }

    async fn call(&self, call: &Call, key: &str) -> (StatusCode, String) {
        let body = match &call.body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let sent = request(call.verb, &call.path, Some(key)).header("x-request-id", "req_1");
        let sent = sent.header("idempotency-key", fresh_key()).body(body).unwrap();
        let reply = self.send(sent).await;
        (reply.status, reply.text())
    }

    /// Follows the stream of events from its beginning until it is quiet; only the tenant's own may come.
    async fn follow_nothing(&self, key: &str) {
        let own = self.store.for_tenant(self.tenant).newest_cursor().await.unwrap();
        let open = request("GET", &format!("{STREAM}?after=0"), Some(key)).body(Body::empty()).unwrap();
        let reply = self.router.clone().oneshot(open).await.unwrap();
        let mut stream = reply.into_body().into_data_stream();
        let mut text = String::new();
        // Quiet behind its last event, and not before the first one was read.
        let is_quiet = |text: &str| text.rsplit("data: ").next().is_some_and(|rest| rest.contains(": alive"));
        while (text.matches("data: ").count() as i64) < own || !is_quiet(&text) {
            text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
        }
        assert!(!text.contains(MARK), "{text}");
        assert_eq!(text.matches("data: ").count() as i64, own, "{text}");
    }
}

/// What the owner is told of its own.
async fn told(owner: &Gateway, key: &str, ids: &Ids) -> Vec<Value> {
    let mut told =
        vec![owner.get("/api/v1/events", Some(key)).await.json(), owner.get("/api/v1/domains", Some(key)).await.json()];
    for id in &ids.chains {
        let reply = owner.get(&format!("/api/v1/explain/{id}"), Some(key)).await;
        assert_eq!(reply.status, StatusCode::OK, "{id}: {}", reply.text());
        told.push(reply.json());
    }
    for more in ["", "/held", "/marks", "/reconciliation"] {
        let reply = owner.get(&format!("/api/v1/routes/{}{more}", ids.route), Some(key)).await;
        assert_eq!(reply.status, StatusCode::OK, "{more}: {}", reply.text());
        told.push(reply.json());
    }
    let raw = owner.get(&format!("/api/v1/messages/{}/raw", ids.message), Some(key)).await;
    assert_eq!(raw.status, StatusCode::OK, "{}", raw.text());
    told.push(owner.get(&format!("/api/v1/messages/{}", ids.message), Some(key)).await.json());
    told.push(owner.get("/api/v1/drafts", Some(key)).await.json());
    told.push(owner.get(&format!("/api/v1/drafts/{}", ids.draft), Some(key)).await.json());
    told.push(owner.get("/api/v1/approvals", Some(key)).await.json());
    told.push(owner.post("/api/connex/integration-insights", Some(key), &json!({})).await.json()["events"].clone());
    assert!(told.iter().any(|told| told.to_string().to_lowercase().contains(MARK)));
    told
}

/// Gives the owner something behind every endpoint.
async fn fill(owner: &Gateway, key: &str) -> Ids {
    let store = owner.store.for_tenant(owner.tenant);
    let status_map = [("unclear", "Saltwater"), ("approval_needed", "Saltwater")];
    let profile = AppProfileRow {
        status_map: status_map.map(|(canonical, own)| (canonical.to_owned(), own.to_owned())).into(),
        inboxes: vec!["Saltwater".into()],
        ..AppProfileRow::default()
    };
    for app in ["crm", "crm-of-owner"] {
        store.put_app(app, &profile).await.unwrap();
    }
    let mailbox = NewMailbox {
        address: crate::mail::address::Mailbox::parse("deals@gate.example").unwrap(),
        app: None,
        identity_owner: "source_app".into(),
        reply_policy: "human_approval".into(),
        external_reply_url: Some("https://saltwater.example/reply".into()),
    };
    store.add_mailbox(mailbox).await.unwrap();
    let endpoint = NewEndpoint {
        app: None,
        url: "https://saltwater.example/hook".into(),
        secrets_sealed: MARK.into(),
        event_types: vec!["*".into()],
        mode: PayloadMode::Full,
        schedule: "default",
        show_bcc: false,
    };
    store.add_endpoint(owner.clock.mint(), endpoint).await.unwrap();
    let mut all = BTreeSet::from([owner.tenant.to_string(), UNCLAIMED.to_owned()]);
    for domain in [DOMAIN, UNCLAIMED] {
        let claimed = owner.post("/api/v1/domains", Some(key), &json!({ "domain": domain })).await;
        assert_eq!(claimed.status, StatusCode::OK, "{}", claimed.text());
        all.insert(claimed.json()["record"]["value"].as_str().unwrap().to_owned());
    }
    let mut last = Value::Null;
    for (number, id) in ["evt_1", "evt_of_owner"].into_iter().enumerate() {
        let mut body = mailed(id);
        body["message"]["subject"] = json!(format!("Saltwater: need approval {number}"));
        body["message"]["messageId"] = json!("<first@gate.example>");
        last = owner.post(EVENT, Some(key), &body).await.json();
        assert_eq!(last["duplicate"], false, "{last}");
        ids_in(&last, &mut all);
        let report = json!({ "app": "crm", "eventId": last["eventId"], "outcome": "spam", "note": MARK });
        let reply = owner.post(OUTCOME, Some(key), &report).await;
        assert_eq!(reply.status, StatusCode::OK, "{}", reply.text());
        ids_in(&reply.json(), &mut all);
    }
    let chain = owner.get(&format!("/api/v1/explain/{}", last["eventId"].as_str().unwrap()), Some(key)).await.json();
    ids_in(&chain, &mut all);
    let wanted = json!({ "kind": "bcc", "app": "crm", "peers": ["cert:name:Saltwater:mx.saltwater.example"] });
    let made = owner.post("/api/v1/routes", Some(key), &wanted).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text());
    let route = made.json()["route"]["id"].as_str().unwrap().to_owned();
    all.extend([route.clone(), made.json()["address"].as_str().unwrap().to_owned()]);
    let message = hold(owner, route.parse().unwrap()).await;
    let (draft, approval) = super::drafts::ask(owner, key, MARK).await;
    all.extend([draft.clone(), approval.clone()]);
    all.insert(message.clone());
    let explained = ["evt_", "op_", "task_", "drf_", "dec_", "dlv_", "msg_"];
    let chains: Vec<String> =
        all.iter().filter(|id| explained.iter().any(|prefix| id.starts_with(prefix))).cloned().collect();
    for prefix in ["evt_", "op_", "task_", "dlv_", "msg_"] {
        assert!(chains.iter().any(|id| id.starts_with(prefix)), "no {prefix} in {all:?}");
    }
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Ids {
        chains,
        tenant: owner.tenant.to_string(),
        message,
        route,
        event: text(&last["eventId"]),
        operation: text(&last["operations"][0]["id"]),
        draft,
        approval,
        all,
    }
}

/// A message that was kept without an event.
async fn hold(owner: &Gateway, route: crate::ids::RouteId) -> String {
    let id: crate::ids::MessageId = owner.clock.mint();
    let message = NewMessage {
        tenant: owner.tenant,
        id,
        received_at: owner.clock.now(),
        size: 10,
        manifest: super::messages::manifest(owner, id, None).replace("client.example", MARK),
        body: json!({ "text": MARK }).to_string(),
        trace: None,
        kept: Some(Kept::Held("peer_not_authorised")),
        views: Vec::new(),
        copies: vec![NewCopy {
            route,
            marks: Some(vec![crate::mail::marks::Mark { name: "dkim".into(), value: "saltwater.example".into() }]),
            keep: crate::mail::retention::Keep::Raw,
            alarm: None,
            tests_connector: false,
            held: Some("peer_not_authorised"),
        }],
    };
    let cursor = SpoolCursor { segment: 1, position: 1 };
    owner.store.record_mail(vec![message], Progress::Log { log: "n".into(), cursor }).await.unwrap();
    id.to_string()
}

/// Texts of our ids' form anywhere in a value.
fn ids_in(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            let is_id = text
                .split_once('_')
                .is_some_and(|(_, rest)| rest.len() == 26 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            if is_id {
                found.insert(text.clone());
            }
        }
        Value::Array(items) => items.iter().for_each(|item| ids_in(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| ids_in(field, found)),
        _ => {}
    }
}
