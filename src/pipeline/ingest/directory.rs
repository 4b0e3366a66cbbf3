//! What the worker needs to know of tenants, kept for a second so that a batch costs few look-ups.

use std::sync::Arc;
use std::time::Duration;

use crate::ids::{AppId, MailboxId, RouteId, TenantId};
use crate::mail::address::{Domain, Mailbox};
use crate::seal::InstanceKey;
use crate::store::directory::{App, MailboxRow};
use crate::store::routes::RouteRow;
use crate::store::templates::TemplateRow;
use crate::store::{Store, StoreError};

const KEPT: Duration = Duration::from_secs(1);
const ROWS: u64 = 10_000;

/// Cached look-ups.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    store: Store,
    key: Arc<InstanceKey>,
    tenants: moka::sync::Cache<TenantId, Arc<TenantFacts>>,
    mailboxes: moka::sync::Cache<(TenantId, MailboxId), Option<Arc<MailboxRow>>>,
    routes: moka::sync::Cache<(TenantId, RouteId), Option<Arc<RouteRow>>>,
    apps: moka::sync::Cache<(TenantId, AppId), Option<Arc<App>>>,
    templates: moka::sync::Cache<TenantId, Arc<Vec<TemplateRow>>>,
}

/// What holds for all mail of a tenant.
#[derive(Debug)]
pub(super) struct TenantFacts {
    /// Verified domains.
    pub(super) domains: Vec<Domain>,
    /// Addresses of all routes, which no app may see.
    pub(super) route_addresses: Vec<Mailbox>,
}

impl Directory {
    pub(super) fn new(store: Store, key: Arc<InstanceKey>) -> Self {
        let templates = cache();
        Self { store, key, tenants: cache(), mailboxes: cache(), routes: cache(), apps: cache(), templates }
    }

    /// The same, knowing nothing yet.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.store.clone(), Arc::clone(&self.key))
    }

    pub(super) async fn tenant(&self, id: TenantId) -> Result<Arc<TenantFacts>, StoreError> {
        if let Some(facts) = self.tenants.get(&id) {
            return Ok(facts);
        }
        let rows = self.store.for_tenant(id);
        let domains = rows.verified_domains().await?;
        let routes = rows.routes().await?;
        let former = rows.former_addresses().await?;
        let own = routes.iter().map(|route| (route.id, &route.address_sealed));
        let own = own.chain(former.iter().map(|former| (former.route, &former.address_sealed)));
        let facts = Arc::new(TenantFacts {
            domains: domains.iter().filter_map(|domain| Domain::parse(domain).ok()).collect(),
            route_addresses: own.filter_map(|(route, sealed)| self.address(route, sealed)).collect(),
        });
        self.tenants.insert(id, facts.clone());
        Ok(facts)
    }

    fn address(&self, route: RouteId, sealed: &str) -> Option<Mailbox> {
        let address = self.key.open(&route.to_string(), sealed).ok()?;
        Mailbox::parse(&address).ok()
    }

    pub(super) async fn mailbox(&self, tenant: TenantId, id: MailboxId) -> Result<Option<Arc<MailboxRow>>, StoreError> {
        if let Some(row) = self.mailboxes.get(&(tenant, id)) {
            return Ok(row);
        }
        let row = self.store.for_tenant(tenant).mailbox(id).await?.map(Arc::new);
        self.mailboxes.insert((tenant, id), row.clone());
        Ok(row)
    }

    pub(super) async fn route(&self, tenant: TenantId, id: RouteId) -> Result<Option<Arc<RouteRow>>, StoreError> {
        if let Some(row) = self.routes.get(&(tenant, id)) {
            return Ok(row);
        }
        let row = self.store.for_tenant(tenant).route(id).await?.map(Arc::new);
        self.routes.insert((tenant, id), row.clone());
        Ok(row)
    }

    pub(super) async fn app(&self, tenant: TenantId, id: AppId) -> Result<Option<Arc<App>>, StoreError> {
        if let Some(app) = self.apps.get(&(tenant, id)) {
            return Ok(app);
        }
        let app = self.store.for_tenant(tenant).app(id).await?.map(Arc::new);
        self.apps.insert((tenant, id), app.clone());
        Ok(app)
    }

    pub(super) async fn templates(&self, tenant: TenantId) -> Result<Arc<Vec<TemplateRow>>, StoreError> {
        if let Some(templates) = self.templates.get(&tenant) {
            return Ok(templates);
        }
        let templates = Arc::new(self.store.for_tenant(tenant).templates().await?);
        self.templates.insert(tenant, Arc::clone(&templates));
        Ok(templates)
    }
}

fn cache<K, V>() -> moka::sync::Cache<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    moka::sync::Cache::builder().max_capacity(ROWS).time_to_live(KEPT).build()
}
