//! Several gateways over one database.

use std::path::PathBuf;

use serde_json::Value;

use super::{Database, Gateway, SECRET_FILE, configuration, connex, http, list, set_up, text, wait_for};

/// A tenant `acme`, an app `crm` and a mailbox in one database, and a folder for each of its nodes.
pub struct Installation {
    folder: tempfile::TempDir,
    fields: Value,
    more: String,
    database: Database,
}

impl Installation {
    /// Sets it up; `more` is added to the configuration of every node.
    pub fn over(database: Database, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut installation = Self { folder, fields: Value::Null, more: more.to_owned(), database };
        installation.fields = set_up(&installation.config(1));
        installation
    }

    /// Starts the node with this number, in the folder that it had before.
    pub fn node(&self, number: usize) -> Gateway {
        Gateway::node(&self.config(number), &self.fields)
    }

    /// Starts so many nodes.
    pub fn nodes(&self, count: usize) -> Vec<Gateway> {
        (1..=count).map(|number| self.node(number)).collect()
    }

    /// What a command answers that is given the configuration of the first node.
    pub fn json(&self, arguments: &[&str]) -> Value {
        connex(&[arguments, &["--json", "--config", self.config(1).to_str().unwrap()]].concat()).json()
    }

    /// Adds an endpoint of `crm`; its secret.
    pub fn webhook(&self, url: &str) -> String {
        let added = self.json(&["webhook", "add", url, "--tenant", "acme", "--app", "crm"]);
        text(&added, "/secret").to_owned()
    }

    /// The key of the API, with all scopes.
    pub fn key(&self) -> &str {
        text(&self.fields, "/apiKey")
    }

    /// The one mailbox.
    pub fn mailbox(&self) -> &str {
        text(&self.fields, "/mailbox")
    }

    /// All events of the tenant in order, read from one node page by page: each with its cursor.
    pub fn events(&self, node: &Gateway) -> Vec<Value> {
        let authorization = format!("Bearer {}", self.key());
        let mut all = Vec::new();
        loop {
            let after = all.last().map_or(0, |item: &Value| item["cursor"].as_i64().unwrap());
            let url = format!("{}/api/v1/events?after={after}&limit=200", node.api());
            // Behind a crash of the database the node may meet connections that died with it: it says 503, come again.
            let page = wait_for("the events to be read", || {
                let answer = http("GET", &url, &[("authorization", &authorization)], b"");
                assert!([200, 503].contains(&answer.status), "{answer:?}");
                (answer.status == 200).then(|| answer.json())
            });
            if list(&page, "/items").is_empty() {
                return all;
            }
            all.extend_from_slice(list(&page, "/items"));
        }
    }

    /// Runs a statement in the database.
    pub fn sql(&self, statement: &str) -> String {
        self.database.sql(statement)
    }

    /// The file with the instance key of a node.
    pub fn secret_file(&self, number: usize) -> PathBuf {
        self.config(number).with_file_name(SECRET_FILE)
    }

    /// The configuration of a node, written where it is missing.
    pub fn config(&self, number: usize) -> PathBuf {
        let folder = self.folder.path().join(format!("node-{number}"));
        let config = folder.join("connex.toml");
        if !config.exists() {
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(&config, configuration(&folder.join("data"), Some(&self.database), &self.more)).unwrap();
        }
        config
    }
}
