//! What was seen of routes: copies by the hour, and what an operator should look at.

use std::collections::BTreeMap;

use serde::Serialize;

use super::ingest::MessageRow;
use super::refusals::no_route;
use super::sql::{Connection, Row, query};
use super::{StoreError, TenantStore, from_id, rows, to_json};
use crate::clock::Timestamp;
use crate::ids::{RouteId, TenantId};

const HOUR_MICROS: i64 = 3_600 * 1_000_000;

/// A kind of trouble with a route that somebody should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// Somebody still sends to an address that was given up.
    RetiredAddress,
    /// A copy was refused for its size, and is lost.
    TooLarge,
    /// A peer has the address and is not authorised.
    NotAuthorised,
    /// Copies come from a network that is everybody's, and nothing says whose they are.
    Unverified,
    /// A route that was busy takes no copies any more.
    Silent,
    /// The time for learning is over, and no marks were confirmed.
    LearningEnded,
    /// A journal report could not be delivered, and only its header came back: the copy is lost.
    JournalLost,
    /// A mail provider asks whether it may forward to the route's address, and waits for the operator.
    ForwardConfirmation,
}

impl Alarm {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RetiredAddress => "retired_address",
            Self::TooLarge => "too_large",
            Self::NotAuthorised => "not_authorised",
            Self::Unverified => "unverified",
            Self::Silent => "silent",
            Self::LearningEnded => "learning_ended",
            Self::JournalLost => "journal_lost",
            Self::ForwardConfirmation => "forward_confirmation",
        }
    }

    fn named(word: &str) -> Result<Self, StoreError> {
        let all = [
            Self::RetiredAddress,
            Self::TooLarge,
            Self::NotAuthorised,
            Self::Unverified,
            Self::Silent,
            Self::LearningEnded,
            Self::JournalLost,
            Self::ForwardConfirmation,
        ];
        let found = all.into_iter().find(|alarm| alarm.as_str() == word);
        found.ok_or_else(|| StoreError::Unreadable { what: "alarm", detail: "not a known word".into() })
    }
}

/// An alarm of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmRow {
    /// Which route.
    pub route: RouteId,
    /// What kind of trouble.
    pub alarm: Alarm,
    /// When it was seen first.
    pub first_at: Timestamp,
    /// When it was seen last.
    pub last_at: Timestamp,
    /// How often.
    pub count: u64,
}

/// The begin of the hour that a moment is in.
#[must_use]
pub fn hour_of(moment: Timestamp) -> Timestamp {
    Timestamp::from_micros(moment.as_micros().div_euclid(HOUR_MICROS).saturating_mul(HOUR_MICROS))
}

impl TenantStore {
    /// Raises an alarm about a route, seen `count` times more.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a route of another tenant, [`StoreError::Unavailable`].
    pub async fn raise_alarm(&self, route: RouteId, alarm: Alarm, count: u64) -> Result<(), StoreError> {
        const RAISE: &str = "\
INSERT INTO route_alarms (tenant_id, route_id, alarm, first_at, last_at, count) VALUES ($1, $2, $3, $4, $4, $5)
ON CONFLICT (tenant_id, route_id, alarm) DO UPDATE SET
    last_at = excluded.last_at, count = route_alarms.count + excluded.count";
        let (tenant, now) = (self.tenant.to_string(), self.store.clock.now());
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let raise = query(RAISE).bind(tenant).bind(route.to_string()).bind(alarm.as_str());
                    let raise = raise.bind(now.as_micros()).bind(count.cast_signed());
                    raise.execute(connection).await.map_err(no_route)?;
                    Ok(())
                })
            })
            .await
    }

    /// Ends an alarm; nothing where there is none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn end_alarm(&self, route: RouteId, alarm: Alarm) -> Result<(), StoreError> {
        const END: &str = "DELETE FROM route_alarms WHERE tenant_id = $1 AND route_id = $2 AND alarm = $3";
        let tenant = self.tenant.to_string();
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let end = query(END).bind(tenant).bind(route.to_string()).bind(alarm.as_str());
                    end.execute(connection).await?;
                    Ok(())
                })
            })
            .await
    }

    /// The alarms of all routes that were seen at `since` or later.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn alarms_since(&self, since: Timestamp) -> Result<Vec<AlarmRow>, StoreError> {
        const LIST: &str = "\
SELECT route_id, alarm, first_at, last_at, count FROM route_alarms WHERE tenant_id = $1 AND last_at >= $2
ORDER BY route_id, alarm";
        let list = query(LIST).bind(self.tenant.to_string()).bind(since.as_micros());
        let rows = list.fetch_all(&self.store.readers).await?;
        let read = |row: &Row| {
            Ok(AlarmRow {
                route: from_id("route_id", row.try_get(0)?)?,
                alarm: Alarm::named(row.try_get(1)?)?,
                first_at: Timestamp::from_micros(row.try_get(2)?),
                last_at: Timestamp::from_micros(row.try_get(3)?),
                count: row.try_get::<i64>(4)?.cast_unsigned(),
            })
        };
        rows.iter().map(read).collect()
    }

    /// Counts copies that were refused at RCPT, in the present hour.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a route of another tenant, [`StoreError::Unavailable`].
    pub async fn count_refused(&self, route: RouteId, count: u64) -> Result<(), StoreError> {
        const COUNT: &str = "\
INSERT INTO route_hours (tenant_id, route_id, hour, received, folded, untrusted, refused) VALUES ($1, $2, $3, 0, 0, 0, $4)
ON CONFLICT (tenant_id, route_id, hour) DO UPDATE SET refused = route_hours.refused + excluded.refused";
        let (tenant, hour) = (self.tenant.to_string(), hour_of(self.store.clock.now()));
        self.store
            .write(move |connection| {
                Box::pin(async move {
                    let add = query(COUNT).bind(tenant).bind(route.to_string());
                    let add = add.bind(hour.as_micros()).bind(count.cast_signed());
                    add.execute(connection).await.map_err(no_route)?;
                    Ok(())
                })
            })
            .await
    }
}

/// Copies of a route in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Copies that were accepted.
    pub received: u64,
    /// Of these, copies of a message that had come before.
    pub folded: u64,
    /// Of these, copies that are not believed.
    pub untrusted: u64,
    /// Copies that were refused, each time that it was tried.
    pub refused: u64,
}

/// Counts the copies of a batch by route and hour, raises their alarms, and keeps the marks of those that are held for want of them.
pub(super) async fn count_copies(connection: &mut Connection, messages: &[MessageRow]) -> Result<(), StoreError> {
    // A route that the database does not know has nobody to show counts to.
    const COUNT: &str = "\
INSERT INTO route_hours (tenant_id, route_id, hour, received, folded, untrusted, refused)
SELECT tenant_id, route_id, $3, $4, $5, $6, $7 FROM routes WHERE tenant_id = $1 AND route_id = $2
ON CONFLICT (tenant_id, route_id, hour) DO UPDATE SET received = route_hours.received + excluded.received,
    folded = route_hours.folded + excluded.folded, untrusted = route_hours.untrusted + excluded.untrusted,
    refused = route_hours.refused + excluded.refused";
    const ALARM: &str = "\
INSERT INTO route_alarms (tenant_id, route_id, alarm, first_at, last_at, count)
SELECT tenant_id, route_id, $3, $4, $4, $5 FROM routes WHERE tenant_id = $1 AND route_id = $2
ON CONFLICT (tenant_id, route_id, alarm) DO UPDATE SET
    last_at = excluded.last_at, count = route_alarms.count + excluded.count";
    const HOLD: &str = "INSERT INTO held_copies (tenant_id, message_id, route_id, received_at, marks, state) ";
    let mut counts: BTreeMap<(TenantId, RouteId, Timestamp), Counts> = BTreeMap::new();
    let mut alarms: BTreeMap<(TenantId, RouteId, Alarm), (Timestamp, u64)> = BTreeMap::new();
    let mut tested = BTreeMap::new();
    let mut held = Vec::new();
    for row in messages {
        let message = &row.message;
        for copy in &message.copies {
            let hour = hour_of(message.received_at);
            let counts = counts.entry((message.tenant, copy.route, hour)).or_default();
            let is_untrusted = copy.held.is_some() || row.state == "poisoned";
            if copy.tests_connector {
                tested.insert((message.tenant, copy.route), message.received_at);
            }
            if let Some(alarm) = copy.alarm {
                let seen = alarms.entry((message.tenant, copy.route, alarm)).or_insert((message.received_at, 0));
                *seen = (seen.0.max(message.received_at), seen.1 + 1);
            }
            if copy.alarm == Some(Alarm::TooLarge) {
                // It was refused: what is here says that it is lost.
                counts.refused += 1;
                continue;
            }
            counts.received += 1;
            counts.folded += u64::from(row.folded.contains(&copy.route.to_string()));
            counts.untrusted += u64::from(is_untrusted);
            if let (Some(marks), Some(_)) = (&copy.marks, copy.held) {
                let (tenant, id) = (message.tenant.to_string(), message.id.to_string());
                held.push((tenant, id, copy.route.to_string(), message.received_at, to_json("marks", marks)?));
            }
        }
    }
    for ((tenant, route, hour), counts) in counts {
        query(COUNT)
            .bind(tenant.to_string())
            .bind(route.to_string())
            .bind(hour.as_micros())
            .bind(counts.received.cast_signed())
            .bind(counts.folded.cast_signed())
            .bind(counts.untrusted.cast_signed())
            .bind(counts.refused.cast_signed())
            .execute(&mut *connection)
            .await?;
    }
    for ((tenant, route), at) in tested {
        note_connector_test(connection, tenant, route, at).await?;
    }
    for ((tenant, route, alarm), (at, count)) in alarms {
        let raise = query(ALARM).bind(tenant.to_string()).bind(route.to_string()).bind(alarm.as_str());
        raise.bind(at.as_micros()).bind(count.cast_signed()).execute(&mut *connection).await?;
    }
    rows::insert_unless(connection, HOLD, "ON CONFLICT DO NOTHING", &held, |row, (tenant, id, route, at, marks)| {
        row.push_bind(tenant.clone())
            .push_bind(id.clone())
            .push_bind(route.clone())
            .push_bind(at.as_micros())
            .push_bind(marks.clone())
            .push_bind("held");
    })
    .await?;
    Ok(())
}

/// Notes when the mail system's own test of its connector came through.
pub(super) async fn note_connector_test(
    connection: &mut Connection,
    tenant: TenantId,
    route: RouteId,
    at: Timestamp,
) -> Result<(), StoreError> {
    const TESTED: &str = "\
UPDATE routes SET validated_at = $3
WHERE tenant_id = $1 AND route_id = $2 AND COALESCE(validated_at, $3) <= $3";
    let note = query(TESTED).bind(tenant.to_string()).bind(route.to_string()).bind(at.as_micros());
    note.execute(connection).await?;
    Ok(())
}

impl TenantStore {
    /// Counts of all routes in the hours from `from` to before `to`, in their order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn hours(&self, from: Timestamp, to: Timestamp) -> Result<Vec<(RouteId, Timestamp, Counts)>, StoreError> {
        const LIST: &str = "\
SELECT route_id, hour, received, folded, untrusted, refused FROM route_hours
WHERE tenant_id = $1 AND hour >= $2 AND hour < $3 ORDER BY route_id, hour";
        let list = query(LIST).bind(self.tenant.to_string()).bind(from.as_micros()).bind(to.as_micros());
        let rows = list.fetch_all(&self.store.readers).await?;
        let read = |row: &Row| {
            let number = |at: usize| row.try_get::<i64>(at).map(i64::cast_unsigned);
            let counts =
                Counts { received: number(2)?, folded: number(3)?, untrusted: number(4)?, refused: number(5)? };
            Ok((from_id("route_id", row.try_get(0)?)?, Timestamp::from_micros(row.try_get(1)?), counts))
        };
        rows.iter().map(read).collect()
    }
}
