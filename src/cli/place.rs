//! Arguments that many commands share: which installation is meant, and how to answer.

use std::path::PathBuf;

use clap::Args;

use super::exit::CliError;
use super::installation;
use crate::app::Instance;
use crate::config::{Config, Loader};
use crate::store::TenantStore;

/// How to answer.
#[derive(Debug, Clone, Args)]
pub struct JsonArgs {
    /// Answer in JSON.
    #[arg(long)]
    pub json: bool,
}

/// Which installation is meant.
#[derive(Debug, Clone, Default, Args)]
pub struct DataArgs {
    /// Configuration file; without it, DIR/connex.toml where there is one.
    #[arg(long, value_name = "FILE", env = "CONNEX_CONFIG")]
    pub config: Option<PathBuf>,
    /// Data folder, in place of server.data_dir [default: connex-data].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

impl DataArgs {
    /// The configuration that these arguments and the environment of this process name.
    ///
    /// # Errors
    /// Every fault of it.
    pub fn load(&self) -> Result<Config, CliError> {
        // Names or values that are no UTF-8 are none of ours.
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(self.loader().environment(environment).dir(self.dir.as_deref()).load()?)
    }

    fn loader(&self) -> Loader {
        if let Some(file) = &self.config {
            return Loader::new().file(file);
        }
        // `connex dev` leaves its configuration in its data folder, so that the other commands find it there.
        let dir = self.dir.clone().unwrap_or_else(|| PathBuf::from("connex-data"));
        let file = dir.join("connex.toml");
        if file.is_file() { Loader::new().file(&file) } else { Loader::new() }
    }
}

/// Arguments of the commands that are about one tenant.
#[derive(Debug, Args)]
pub struct TenantArgs {
    /// The tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: String,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

impl TenantArgs {
    /// The installation, open, and what the tenant has in it.
    ///
    /// # Errors
    /// It cannot be opened, or has no such tenant.
    pub(super) async fn open(&self) -> Result<(Instance, TenantStore), CliError> {
        let instance = installation::open(&self.data).await?;
        let tenant = installation::tenant(&instance, &self.tenant).await?;
        Ok((instance, tenant))
    }
}

/// Arguments of the commands that list what tenants have.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only this tenant, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}

/// Arguments of the commands that are about one thing that a tenant has.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// Its id; for a mailbox its address will do.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Look only among what this tenant has, by id or name.
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Which installation.
    #[command(flatten)]
    pub data: DataArgs,
    /// How to answer.
    #[command(flatten)]
    pub json: JsonArgs,
}
