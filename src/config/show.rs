//! The effective configuration as people and programs read it, secrets hidden.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::fault::{Fault, Place};
use super::layers::{Entry, Layers};

/// What stands in place of a secret.
pub const HIDDEN: &str = "(hidden)";

/// TOML that can be read again, each value that is not the default with the place that it came from.
#[must_use]
pub fn to_toml(layers: &Layers) -> String {
    let mut text = String::new();
    let mut section = "";
    for entry in layers.iter() {
        let (head, name) = entry.key.rsplit_once('.').unwrap_or(("", &entry.key));
        if head != section {
            let gap = if section.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}[{head}]");
            section = head;
        }
        let value = if entry.is_hidden() { format!("\"{HIDDEN}\"") } else { entry.value.to_string() };
        let _ = match &entry.place {
            Place::Default => writeln!(text, "{name} = {value}"),
            place => writeln!(text, "{name} = {value}  # {place}"),
        };
    }
    text
}

/// `{"ok": true, "config": {"smtp.listen": {"value": …, "default": …, "from": …}}}`
#[must_use]
pub fn to_json(layers: &Layers) -> Json {
    let one = |entry: &Entry| {
        let value = if entry.is_hidden() { HIDDEN.into() } else { entry.value.to_json() };
        (
            entry.key.clone(),
            json!({ "value": value, "default": entry.default.to_json(), "from": entry.place.to_string() }),
        )
    };
    json!({ "ok": true, "config": layers.iter().map(one).collect::<serde_json::Map<_, _>>() })
}

/// `{"ok": false, "faults": [{"place": …, "key": …, "value": …, "message": …}]}`
#[must_use]
pub fn faults_to_json<'a>(faults: impl Iterator<Item = &'a Fault>) -> Json {
    let one = |fault: &Fault| {
        json!({
            "place": fault.place.to_string(),
            "key": fault.key,
            "value": fault.value,
            "message": fault.message,
        })
    };
    json!({ "ok": false, "faults": faults.map(one).collect::<Vec<_>>() })
}
