//! Routes for the holder of a key: those of its tenant, and of its apps alone where it is bound to some.

use std::time::Duration;

use super::forms::{
    RouteChangeRequest, RouteConfirmation, RouteConfirmed, RouteLearning, RouteMade, RouteMark, RouteMarks, RouteMode,
    RoutePage, RouteRequest, RouteRotated, RouteRotation, RouteView,
};
use super::held::{self, HeldPage, RedecisionRequest};
use super::reconciliation::{Reconciliation, reconcile};
use super::{LONGEST_LEARNING, OBSERVED, OVERLAP, RouteError, Wanted, learn, observed_until, reader, recent_alarms};
use crate::clock::Timestamp;
use crate::governance::audit::Who;
use crate::ids::RouteId;
use crate::mail::marks::Mark;
use crate::service::drafts::actor_of;
use crate::service::keys::{Authenticated, RoutesRead, RoutesWrite};
use crate::service::{Conflict, Fault, Service, ServiceError};
use crate::store::directory::App;
use crate::store::routes::{RouteChange, RouteRow, RouteState, RouteStep};
use crate::store::{StoreError, TenantStore};

/// The longest time that a route's copies are kept, where it has an end, in days.
const LONGEST_KEPT: u64 = 36_500;

impl From<RouteError> for ServiceError {
    fn from(error: RouteError) -> Self {
        match error {
            RouteError::Field { field, message } => Self::Invalid(vec![Fault::at(format!("/{field}"), message)]),
            RouteError::Store(error) => refused(error),
            RouteError::NoDomain | RouteError::Sealed(_) => Self::Internal(error.into()),
        }
    }
}

/// What the store refuses by the state of a route.
fn refused(error: StoreError) -> ServiceError {
    match error {
        StoreError::Conflict(why) => Conflict::State(why).into(),
        error => error.into(),
    }
}

/// The rows of the caller's tenant, with its apps, as far as its key reaches.
struct Reach {
    tenant: TenantStore,
    apps: Vec<App>,
}

impl Reach {
    fn is_in(&self, row: &RouteRow, is_bound: bool) -> bool {
        !is_bound || row.app.is_some_and(|app| self.apps.iter().any(|one| one.id == app))
    }

    fn view(&self, row: &RouteRow, alarms: &[crate::store::watch::AlarmRow], now: Timestamp) -> RouteView {
        RouteView::of(row, alarms, &self.apps, now)
    }
}

impl Service {
    /// The routes of the caller's tenant.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`].
    pub async fn routes(&self, caller: &Authenticated<RoutesRead>) -> Result<RoutePage, ServiceError> {
        let (reach, now) = (self.reach(caller).await?, self.clock().now());
        let (rows, alarms) = (reach.tenant.routes().await?, recent_alarms(&reach.tenant, now).await?);
        let is_bound = is_bound(caller);
        let own = rows.iter().filter(|row| reach.is_in(row, is_bound));
        Ok(RoutePage { items: own.map(|row| reach.view(row, &alarms, now)).collect() })
    }

    /// One of them.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn route(&self, id: &str, caller: &Authenticated<RoutesRead>) -> Result<RouteView, ServiceError> {
        let (reach, row) = self.route_row(id, caller).await?;
        self.shown(&reach, row.id).await
    }

    /// Makes one. Its address is told this once.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] where it cannot be.
    pub async fn make_route(
        &self,
        request: &RouteRequest,
        caller: &Authenticated<RoutesWrite>,
    ) -> Result<RouteMade, ServiceError> {
        let reach = self.reach(caller).await?;
        let is_it = |app: &&App| app.name == request.app || app.id.to_string() == request.app;
        let Some(app) = reach.apps.iter().find(is_it) else {
            // Whether there is such an app is not for every key to know.
            caller.require_app(&request.app)?;
            return Err(ServiceError::Invalid(vec![Fault::at("/app", "names no app of the tenant")]));
        };
        let wanted = Wanted {
            reader: reader(request.kind.as_str(), request.format.map(|format| format.as_str()))?,
            app: Some(app.id),
            peers: rules("peers", request.peers.as_deref())?.unwrap_or_default(),
            size_cap: request.size_cap.filter(|size| *size > 0),
            observe: observing(request.mode, request.observe_hours)?,
        };
        let made = self.routes.make(&reach.tenant, wanted, self.clock()).await?;
        Ok(RouteMade { address: made.address, route: self.shown(&reach, made.id).await? })
    }

    /// Changes one.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Invalid`].
    pub async fn change_route(
        &self,
        id: &str,
        request: &RouteChangeRequest,
        caller: &Authenticated<RoutesWrite>,
    ) -> Result<RouteView, ServiceError> {
        let (reach, row) = self.route_row(id, caller).await?;
        let observe = observing(request.mode, request.observe_hours)?;
        let observe_until = observe.map(|time| observed_until(time, self.clock().now())).transpose()?;
        if request.keep_days.is_some_and(|days| days > LONGEST_KEPT) {
            let message = format!("must be {LONGEST_KEPT} at most");
            return Err(ServiceError::Invalid(vec![Fault::at("/keepDays", message)]));
        }
        let days = |days: u64| u32::try_from(days).ok().filter(|days| *days > 0);
        let format = request.format.map(|format| reader(row.reader.prefix(), Some(format.as_str()))).transpose()?;
        let change = RouteChange {
            reader: format,
            peers: rules("peers", request.peers.as_deref())?,
            size_cap: request.size_cap.map(|size| Some(size).filter(|size| *size > 0)),
            observe_until,
            authors: rules("authors", request.authors.as_deref())?,
            include: rules("include", request.include.as_deref())?,
            exclude: rules("exclude", request.exclude.as_deref())?,
            keep: request.keep.map(Into::into),
            keep_days: request.keep_days.map(days),
        };
        self.routes.change(&reach.tenant, &row, change).await?;
        self.shown(&reach, row.id).await
    }

    /// Takes a step in the life of one.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::Conflict`] where the step does not follow from its state.
    pub async fn step_route(
        &self,
        id: &str,
        step: RouteStep,
        caller: &Authenticated<RoutesWrite>,
    ) -> Result<RouteView, ServiceError> {
        let (reach, row) = self.route_row(id, caller).await?;
        reach.tenant.step_route(row.id, step).await.map_err(refused)?;
        self.shown(&reach, row.id).await
    }

    /// Gives one a new address, which is told this once.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::Conflict`] where it is retired.
    pub async fn rotate_route(
        &self,
        id: &str,
        request: &RouteRotation,
        caller: &Authenticated<RoutesWrite>,
    ) -> Result<RouteRotated, ServiceError> {
        let (reach, row) = self.route_row(id, caller).await?;
        let overlap = request.overlap_hours.map_or(OVERLAP, hours);
        let rotated = self.routes.rotate(&reach.tenant, &row, overlap).await?;
        Ok(RouteRotated {
            id: row.id.to_string(),
            address: rotated.address,
            former: rotated.former,
            former_accepted_until: rotated.former_accepted_until.to_string(),
        })
    }

    /// Has one learn by what marks its copies can be told.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::Conflict`] where it names no provider or takes no copies.
    pub async fn learn_route(
        &self,
        id: &str,
        request: &RouteLearning,
        caller: &Authenticated<RoutesWrite>,
    ) -> Result<RouteView, ServiceError> {
        let (reach, row) = self.route_row(id, caller).await?;
        learn(&reach.tenant, &row, request.hours.unwrap_or(LONGEST_LEARNING), self.clock().now()).await?;
        self.shown(&reach, row.id).await
    }

    /// The marks of its held copies.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn route_marks(&self, id: &str, caller: &Authenticated<RoutesRead>) -> Result<RouteMarks, ServiceError> {
        let (reach, row) = self.route_row(id, caller).await?;
        Ok(RouteMarks::of(&row, &reach.tenant.held_marks(row.id).await?))
    }

    /// Confirms a set of them: copies that carry exactly these are believed.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::Invalid`] for marks that no held copy carries;
    /// [`ServiceError::Conflict`] where the route takes no copies.
    pub async fn confirm_marks(
        &self,
        id: &str,
        request: RouteConfirmation,
        caller: &Authenticated<RoutesWrite>,
    ) -> Result<RouteConfirmed, ServiceError> {
        let (reach, row) = self.route_row(id, caller).await?;
        let mut marks: Vec<Mark> = request.marks.into_iter().map(Into::into).collect();
        marks.sort();
        let held = reach.tenant.held_marks(row.id).await?;
        if marks.is_empty() || held.iter().all(|one| one.marks != marks) {
            return Err(ServiceError::Invalid(vec![Fault::at("/marks", "are no set of marks that held copies carry")]));
        }
        let released = reach.tenant.confirm_marks(row.id, &marks).await.map_err(refused)?;
        Ok(RouteConfirmed {
            id: row.id.to_string(),
            state: RouteState::Active.as_str().to_owned(),
            confirmed: marks.iter().map(RouteMark::from).collect(),
            released,
        })
    }

    /// Its copies by day.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn reconciliation(
        &self,
        id: &str,
        since: Timestamp,
        caller: &Authenticated<RoutesRead>,
    ) -> Result<Reconciliation, ServiceError> {
        let (reach, row) = self.route_row(id, caller).await?;
        let routes = reconcile(&reach.tenant, since, self.clock().now()).await?;
        let days = routes.into_iter().find(|(route, _)| *route == row.id).map(|(_, days)| days);
        Ok(Reconciliation { id: row.id.to_string(), days: days.unwrap_or_default() })
    }

    /// Its held copies, and what would make them believed.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn held_copies(&self, id: &str, caller: &Authenticated<RoutesRead>) -> Result<HeldPage, ServiceError> {
        let (reach, row) = self.route_row(id, caller).await?;
        Ok(held::held(&reach.tenant, row.id, &held::everything()).await?)
    }

    /// Has held copies of a window decided on again, as if they came in now.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Invalid`]; [`ServiceError::Conflict`] where the route takes no copies.
    pub async fn redecide(
        &self,
        id: &str,
        request: &RedecisionRequest,
        caller: &Authenticated<RoutesWrite>,
    ) -> Result<HeldPage, ServiceError> {
        let (reach, row) = self.route_row(id, caller).await?;
        let asked_by = caller.principal().key_id().to_string();
        held::redecide(&reach.tenant, row.id, request.wanted()?, asked_by).await.map_err(refused)
    }

    async fn reach<S>(&self, caller: &Authenticated<S>) -> Result<Reach, ServiceError> {
        let who = Who::Actor(actor_of(caller.principal()));
        let tenant = self.store.for_tenant(caller.principal().tenant()).by(who);
        let mut apps = tenant.apps().await?;
        apps.retain(|app| caller.principal().bindings().allows_app(&app.name));
        Ok(Reach { tenant, apps })
    }

    async fn route_row<S>(&self, id: &str, caller: &Authenticated<S>) -> Result<(Reach, RouteRow), ServiceError> {
        let wanted = id.parse::<RouteId>().map_err(|_| ServiceError::NotFound("route"))?;
        let reach = self.reach(caller).await?;
        let row = reach.tenant.route(wanted).await?.filter(|row| row.state != RouteState::Deleted);
        let row = row.filter(|row| reach.is_in(row, is_bound(caller)));
        Ok((reach, row.ok_or(ServiceError::NotFound("route"))?))
    }

    async fn shown(&self, reach: &Reach, id: RouteId) -> Result<RouteView, ServiceError> {
        let now = self.clock().now();
        let row = reach.tenant.route(id).await?.ok_or(ServiceError::NotFound("route"))?;
        Ok(reach.view(&row, &recent_alarms(&reach.tenant, now).await?, now))
    }
}

fn is_bound<S>(caller: &Authenticated<S>) -> bool {
    !caller.principal().bindings().apps.is_empty()
}

/// How long a route is to be observed; `None`: nothing is said of it.
fn observing(mode: Option<RouteMode>, given: Option<u64>) -> Result<Option<Duration>, ServiceError> {
    match (mode, given) {
        (Some(RouteMode::Active) | None, Some(_)) => {
            Err(ServiceError::Invalid(vec![Fault::at("/observeHours", "goes with the mode `observe` alone")]))
        }
        (Some(RouteMode::Observe), Some(0)) => {
            Err(ServiceError::Invalid(vec![Fault::at("/observeHours", "must be 1 to 2160")]))
        }
        (Some(RouteMode::Active), None) => Ok(Some(Duration::ZERO)),
        (Some(RouteMode::Observe), given) => Ok(Some(given.map_or(OBSERVED, hours))),
        (None, None) => Ok(None),
    }
}

fn hours(count: u64) -> Duration {
    Duration::from_secs(count.saturating_mul(3_600))
}

/// The rules that a list of words names.
fn rules<R>(field: &str, words: Option<&[String]>) -> Result<Option<Vec<R>>, ServiceError>
where
    R: std::str::FromStr,
    R::Err: std::fmt::Display,
{
    let Some(words) = words else { return Ok(None) };
    let (mut rules, mut faults) = (Vec::with_capacity(words.len()), Vec::new());
    for (place, word) in words.iter().enumerate() {
        match word.parse::<R>() {
            Ok(rule) => rules.push(rule),
            Err(error) => faults.push(Fault::at(format!("/{field}/{place}"), error.to_string())),
        }
    }
    faults.truncate(20);
    if faults.is_empty() { Ok(Some(rules)) } else { Err(ServiceError::Invalid(faults)) }
}
