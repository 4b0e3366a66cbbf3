//! Routes as requests ask for them and as they are shown.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::mail::marks::Mark;
use crate::mail::retention::Keep;
use crate::store::directory::App;
use crate::store::marks::HeldMarks;
use crate::store::routes::RouteRow;
use crate::store::watch::AlarmRow;

/// What kind of copy a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteKind {
    /// Journal reports, or the plain copies of a whole organisation.
    Journal,
    /// Blind copies.
    Bcc,
    /// Forwarded messages.
    Fwd,
}

impl RouteKind {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Bcc => "bcc",
            Self::Fwd => "fwd",
        }
    }
}

/// The layout of what a journal route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RouteFormat {
    /// Reports of Exchange 2007 and later, and of Exchange Online.
    Exchange,
    /// Reports of Exchange 2000 and 2003.
    ExchangeLegacy,
    /// Reports of Amazon WorkMail.
    Workmail,
    /// The messages themselves.
    Plain,
}

impl RouteFormat {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::ExchangeLegacy => "exchange-legacy",
            Self::Workmail => "workmail",
            Self::Plain => "plain",
        }
    }
}

/// Whether anything follows from a route's copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteMode {
    /// They are decided on and shown, and nothing follows.
    Observe,
    /// Everything follows.
    Active,
}

/// How much of a copy can be read once it was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteKeep {
    /// Neither its bytes nor the texts of its event.
    None,
    /// The texts of its event, and not its bytes.
    Text,
    /// All of it.
    Raw,
}

impl From<RouteKeep> for Keep {
    fn from(keep: RouteKeep) -> Self {
        match keep {
            RouteKeep::None => Self::None,
            RouteKeep::Text => Self::Text,
            RouteKeep::Raw => Self::Raw,
        }
    }
}

/// A route to be made.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteRequest {
    /// What kind of copy it takes.
    pub kind: RouteKind,
    /// The layout of a journal route's mail, which it needs; pinned, whatever the mail says of itself.
    pub format: Option<RouteFormat>,
    /// App that gets its operations, by name or id.
    #[schema(min_length = 1, max_length = 200)]
    pub app: String,
    /// Whose copies are trusted: a network, `key:KEY_ID`, `cert:sha256:HEX`, `cert:name:ISSUER:NAME`, `door:lmtp`,
    /// `door:milter`; or, once marks are confirmed, `shared:exchange-online`, `shared:google-workspace`,
    /// `shared:SPF-DOMAIN:SIGNER`.
    #[schema(max_items = 200)]
    pub peers: Option<Vec<String>>,
    /// Octets that one message may have; 0 or nothing: as configured for routes of its kind.
    pub size_cap: Option<u64>,
    /// Whether anything follows from its copies; nothing: journal routes are observed first, others are not.
    pub mode: Option<RouteMode>,
    /// For how many hours it is observed, up to 2160; 168 unless told.
    pub observe_hours: Option<u64>,
}

/// What is to change of a route. What is left out stays as it is.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteChangeRequest {
    /// The layout of a journal route's mail.
    pub format: Option<RouteFormat>,
    /// Whose copies are trusted, in place of those before.
    #[schema(max_items = 200)]
    pub peers: Option<Vec<String>>,
    /// Octets that one message may have; 0: as configured.
    pub size_cap: Option<u64>,
    /// Whether anything follows from its copies.
    pub mode: Option<RouteMode>,
    /// With the mode `observe`, for how many hours from now on, up to 2160; 168 unless told.
    pub observe_hours: Option<u64>,
    /// Whose copies a `bcc` route believes, `address:ADDRESS` or `domain:DOMAIN`, in place of those before; none: anyone's.
    #[schema(max_items = 500)]
    pub authors: Option<Vec<String>>,
    /// Which copies alone it takes notice of, in place of the rules before; none: all.
    #[schema(max_items = 500)]
    pub include: Option<Vec<String>>,
    /// Which copies it takes no notice of, in place of the rules before.
    #[schema(max_items = 500)]
    pub exclude: Option<Vec<String>>,
    /// How much of its copies it keeps, also of those that it has taken; what goes does not come back.
    pub keep: Option<RouteKeep>,
    /// For how many days after their arrival, up to 36500; 0: for ever.
    pub keep_days: Option<u64>,
}

/// How a route gets a new address.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteRotation {
    /// For how many hours the old address is still taken, up to 2160; 168 unless told, 0: not at all.
    pub overlap_hours: Option<u64>,
}

/// How long a route learns.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteLearning {
    /// How many hours, up to 72; 72 unless told.
    #[schema(minimum = 1)]
    pub hours: Option<u64>,
}

/// Something that tells one customer of a mail provider from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteMark {
    /// `dkim` for a domain that signed, or the field's name in lower case.
    #[schema(min_length = 1, max_length = 128)]
    pub name: String,
    /// The domain, or the field's value.
    #[schema(max_length = 255)]
    pub value: String,
}

impl From<&Mark> for RouteMark {
    fn from(mark: &Mark) -> Self {
        Self { name: mark.name.clone(), value: mark.value.clone() }
    }
}

impl From<RouteMark> for Mark {
    fn from(mark: RouteMark) -> Self {
        Self { name: mark.name, value: mark.value }
    }
}

/// Marks to be confirmed.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteConfirmation {
    /// One whole set of those that held copies carry.
    #[schema(max_items = 16)]
    pub marks: Vec<RouteMark>,
}

/// Something about a route that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteAlarm {
    /// Which route.
    pub route: String,
    /// `retired_address`, `too_large`, `not_authorised`, `unverified`, `silent`, `learning_ended`, `journal_lost` or
    /// `forward_confirmation`.
    pub alarm: String,
    /// When it was seen first.
    pub first_at: String,
    /// When it was seen last.
    pub last_at: String,
    /// How often.
    pub count: u64,
}

/// A route, without its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteView {
    /// Its owner.
    pub tenant: String,
    /// Its id.
    pub id: String,
    /// `journal`, `bcc` or `fwd`.
    pub kind: String,
    /// The layout that is pinned for a journal route.
    pub format: Option<String>,
    /// Id of the app that gets its operations.
    pub app: Option<String>,
    /// The app's name.
    pub app_name: Option<String>,
    /// Whose copies are trusted.
    pub peers: Vec<String>,
    /// Octets that one message may have; null: as configured for routes of its kind.
    pub size_cap: Option<u64>,
    /// `active`, `learning`, `paused` or `retired`.
    pub state: String,
    /// Since when.
    pub state_since: String,
    /// Until when it learns by what marks its copies can be told.
    pub learning_until: Option<String>,
    /// The marks that were confirmed.
    pub marks: Option<Vec<RouteMark>>,
    /// Whether anything follows from its copies now.
    pub mode: RouteMode,
    /// Until when nothing does.
    pub observe_until: Option<String>,
    /// Whose copies a `bcc` route believes; none: anyone's.
    pub authors: Vec<String>,
    /// When its mail system's own test of the connector was last seen.
    pub connector_validated_at: Option<String>,
    /// Which copies alone it takes notice of; none: all.
    pub include: Vec<String>,
    /// Which copies it takes no notice of.
    pub exclude: Vec<String>,
    /// How much of its copies it keeps: `none`, `text` or `raw`.
    pub keep: String,
    /// For how many days; null: for ever.
    pub keep_days: Option<u32>,
    /// Whether all that it has taken must stay, which is for the operator to say.
    pub legal_hold: bool,
    /// Which keys see its mail: `tenant`, `team` or `owners`.
    pub visible_to: String,
    /// What was seen of it in the last seven days.
    pub alarms: Vec<RouteAlarm>,
}

impl RouteView {
    /// A route as it is shown at `now`, with those of the alarms and apps that are its own.
    #[must_use]
    pub fn of(row: &RouteRow, alarms: &[AlarmRow], apps: &[App], now: Timestamp) -> Self {
        let time = |at: Timestamp| at.to_string();
        let alarm = |one: &AlarmRow| RouteAlarm {
            route: one.route.to_string(),
            alarm: one.alarm.as_str().to_owned(),
            first_at: time(one.first_at),
            last_at: time(one.last_at),
            count: one.count,
        };
        let app = apps.iter().find(|app| row.app == Some(app.id));
        Self {
            tenant: row.tenant.to_string(),
            id: row.id.to_string(),
            kind: row.reader.prefix().to_owned(),
            format: row.reader.format().map(str::to_owned),
            app: row.app.map(|app| app.to_string()),
            app_name: app.map(|app| app.name.clone()),
            peers: texts(&row.peers),
            size_cap: row.size_cap,
            state: row.state.as_str().to_owned(),
            state_since: time(row.state_since),
            learning_until: row.learning_until.map(time),
            marks: row.marks.as_ref().map(|marks| marks.iter().map(RouteMark::from).collect()),
            mode: if row.is_observed(now) { RouteMode::Observe } else { RouteMode::Active },
            observe_until: row.observe_until.map(time),
            authors: texts(&row.authors),
            connector_validated_at: row.validated_at.map(time),
            include: texts(&row.selection.include),
            exclude: texts(&row.selection.exclude),
            keep: row.retention.keep.as_str().to_owned(),
            keep_days: row.retention.days,
            legal_hold: row.retention.legal_hold,
            visible_to: row.visible_to.as_str().to_owned(),
            alarms: alarms.iter().filter(|one| one.route == row.id).map(alarm).collect(),
        }
    }
}

fn texts<T: ToString>(rules: &[T]) -> Vec<String> {
    rules.iter().map(ToString::to_string).collect()
}

/// The routes of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoutePage {
    /// All of them, the oldest first.
    pub items: Vec<RouteView>,
}

/// A route that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteMade {
    /// Where it takes copies. Whoever knows the address can send to it: it is shown this once.
    pub address: String,
    /// The route.
    pub route: RouteView,
}

/// A route with a new address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteRotated {
    /// Its id.
    pub id: String,
    /// Where it takes copies now; shown this once.
    pub address: String,
    /// Where it took them before.
    pub former: String,
    /// Until when they are taken there; put off for three days more, then unknown.
    pub former_accepted_until: String,
}

/// The marks of a route's copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteMarks {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: String,
    /// The marks that were confirmed.
    pub confirmed: Option<Vec<RouteMark>>,
    /// Those that held copies carry, the most frequent first.
    pub held: Vec<RouteMarkSet>,
}

/// Copies that carry the same marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteMarkSet {
    /// The number by which the command `connex route confirm` knows them.
    pub set: u64,
    /// The marks.
    pub marks: Vec<RouteMark>,
    /// How many copies are held.
    pub held: u64,
    /// When the first came.
    pub first_at: String,
    /// When the last came.
    pub last_at: String,
}

impl RouteMarks {
    /// The marks as they are shown.
    #[must_use]
    pub fn of(row: &RouteRow, held: &[HeldMarks]) -> Self {
        let set = |(set, one): (u64, &HeldMarks)| RouteMarkSet {
            set,
            marks: one.marks.iter().map(RouteMark::from).collect(),
            held: one.held,
            first_at: one.first_at.to_string(),
            last_at: one.last_at.to_string(),
        };
        Self {
            id: row.id.to_string(),
            state: row.state.as_str().to_owned(),
            confirmed: row.marks.as_ref().map(|marks| marks.iter().map(RouteMark::from).collect()),
            held: (1..).zip(held).map(set).collect(),
        }
    }
}

/// Marks that were confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteConfirmed {
    /// Its id.
    pub id: String,
    /// Its state.
    pub state: String,
    /// The marks.
    pub confirmed: Vec<RouteMark>,
    /// How many held copies carry them, and are decided on now.
    pub released: u64,
}
