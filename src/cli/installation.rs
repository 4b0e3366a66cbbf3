//! What the administrative commands share: opening the installation, and finding things by id or name.

use std::sync::Arc;

use super::{CliError, DataArgs};
use crate::app::{AppError, Instance};
use crate::clock::Clock;
use crate::ids::{AppId, TenantId};
use crate::store::directory::{App, Tenant};
use crate::store::{StoreError, TenantStore};

/// Opens the installation that the arguments name.
///
/// # Errors
/// A wrong configuration, or a data folder or database that cannot be used.
pub(super) async fn open(data: &DataArgs) -> Result<Instance, CliError> {
    let config = Arc::new(data.load()?);
    Ok(Instance::open(config, Clock::System).await?)
}

/// The tenant of this id or name.
pub(super) async fn tenant(instance: &Instance, wanted: &str) -> Result<TenantStore, CliError> {
    let is_it = |tenant: &&Tenant| tenant.name == wanted || tenant.id.to_string() == wanted;
    let tenants = instance.store.tenants().await?;
    match tenants.iter().find(is_it) {
        Some(tenant) => Ok(instance.store.for_tenant(tenant.id)),
        None => Err(CliError::NotFound(format!("tenant `{wanted}`; `connex tenant list` shows those there are"))),
    }
}

/// The tenant that is named, or all.
pub(super) async fn tenants(instance: &Instance, wanted: Option<&str>) -> Result<Vec<(String, TenantStore)>, CliError> {
    if let Some(wanted) = wanted {
        return Ok(vec![(wanted.to_owned(), tenant(instance, wanted).await?)]);
    }
    let all = instance.store.tenants().await?;
    Ok(all.into_iter().map(|tenant| (tenant.name, instance.store.for_tenant(tenant.id))).collect())
}

/// The app of this id or name.
pub(super) async fn app(tenant: &TenantStore, wanted: &str) -> Result<App, CliError> {
    let found = match wanted.parse::<AppId>() {
        Ok(id) => tenant.app(id).await?,
        Err(_) => tenant.app_by_name(wanted).await?,
    };
    found.ok_or_else(|| CliError::NotFound(format!("app `{wanted}` of this tenant")))
}

/// The first that `is_it` in any of the tenants, with its tenant.
pub(super) fn found<T>(
    what: &str,
    wanted: &str,
    mut all: impl Iterator<Item = (TenantId, T)>,
    is_it: impl Fn(&T) -> bool,
) -> Result<(TenantId, T), CliError> {
    all.find(|(_, item)| is_it(item)).ok_or_else(|| CliError::NotFound(format!("{what} `{wanted}`")))
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::NotFound(what.to_owned()),
            StoreError::Unavailable(_) | StoreError::Migration(_) | StoreError::LeaseLost | StoreError::Closed => {
                Self::Unreachable(anyhow::Error::new(error))
            }
            StoreError::Exists(_) | StoreError::Conflict(_) | StoreError::Unreadable { .. } => {
                Self::Failed(anyhow::Error::new(error))
            }
        }
    }
}

impl From<AppError> for CliError {
    fn from(error: AppError) -> Self {
        match error {
            AppError::Store(error) => error.into(),
            AppError::Engine(_) | AppError::Task(_) | AppError::Rotation(_) | AppError::Interrupted => {
                Self::Failed(anyhow::Error::new(error))
            }
            _ => Self::Unreachable(anyhow::Error::new(error)),
        }
    }
}
