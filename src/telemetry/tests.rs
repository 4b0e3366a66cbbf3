//! Claims about logs and metrics.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn logged(log: &Log, act: impl FnOnce(&Logs)) -> String {
    let sink = Sink::default();
    let writer = sink.clone();
    let (subscriber, logs) = Logs::build(log, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, || act(&logs));
    sink.text()
}

#[test]
fn a_json_line_has_the_fields_by_their_names() {
    let log = Log { level: "info".to_owned(), format: LogFormat::Json };
    let text = logged(&log, |_| {
        tracing::info!({ field::SIZE_BYTES } = 5, message.id = "msg_1", "Accepted message `msg_1`");
    });
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&line["size_bytes"], &line["message.id"]), (&5.into(), &"msg_1".into()));
    assert_eq!((&line["message"], &line["level"]), (&"Accepted message `msg_1`".into(), &"INFO".into()));
}

#[test]
fn the_level_can_be_changed_while_running() {
    let log = Log { level: "warn".to_owned(), format: LogFormat::Text };
    let text = logged(&log, |logs| {
        tracing::info!("first");
        logs.set_level("info").unwrap();
        tracing::info!("second");
        assert!(matches!(logs.set_level("a=b=c"), Err(TelemetryError::Level(_))));
        tracing::info!("third");
    });
    assert!(!text.contains("first") && text.contains("second") && text.contains("third"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours: {text:?}");
}

#[test]
fn every_metric_has_help_and_a_name_that_tells_its_kind() {
    let mut names = std::collections::BTreeSet::new();
    for (name, kind, help) in metric::ALL {
        assert!(name.starts_with("connex_") && !help.is_empty() && names.insert(name), "{name}");
        assert_eq!(name.ends_with("_total"), *kind == metric::Kind::Counter, "{name}");
    }
}

#[test]
fn metrics_are_rendered_with_help_and_buckets() {
    let recorder = builder().unwrap().build_recorder();
    let metrics = Metrics { handle: recorder.handle() };
    metrics::with_local_recorder(&recorder, || {
        metric::describe();
        metrics::counter!(metric::SMTP_MESSAGES).increment(2);
        metrics::histogram!(metric::WEBHOOK_SECONDS).record(0.015);
    });
    metrics.upkeep();
    let text = metrics.render();
    assert!(
        text.contains("# HELP connex_smtp_messages_total SMTP transactions that reached end of data, by outcome\n"),
        "{text}"
    );
    assert!(text.contains("\nconnex_smtp_messages_total 2\n"), "{text}");
    assert!(text.contains("connex_webhook_attempt_seconds_bucket{le=\"0.02\"} 1\n"), "{text}");
    assert!(text.contains("connex_webhook_attempt_seconds_bucket{le=\"0.01\"} 0\n"), "{text}");
}

#[test]
fn field_names_are_told_once() {
    let unique: std::collections::BTreeSet<_> = field::ALL.iter().collect();
    assert_eq!(unique.len(), field::ALL.len());
}
