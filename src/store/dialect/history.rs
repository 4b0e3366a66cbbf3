//! The schema's history, compiled in: the files of `migrations`, of which each engine has its own under the same name.
//!
//! They are listed here and not found by sqlx's macro: it builds sqlx, its drivers and their TLS a second time, for the
//! compiler.

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// The steps of an engine, by the names of their files.
macro_rules! steps {
    ($engine:literal) => {
        steps!(
            $engine,
            "0001_initial",
            "0002_instance",
            "0003_nodes",
            "0005_route_refusals",
            "0008_authentication",
            "0010_route_readers",
            "0011_domain_proofs",
            "0012_route_life",
            "0013_route_marks",
            "0014_domain_checks",
            "0016_threading",
            "0020_copy_recipients",
            "0021_route_privacy",
            "0022_sealed_bodies",
            "0026_route_authors",
            "0027_lost_copies",
            "0028_connector_validated",
            "0029_keyring",
            "0030_redecisions",
            "0031_bodies_and_sight",
            "0032_drafts",
            "0033_accounts",
            "0034_sent_copies",
            "0035_late_approvals",
            "0036_forward_confirmations",
            "0037_uploads",
            "0039_receipts",
            "0040_verdicts",
            "0042_reply_templates",
            "0043_handoffs",
            "0045_sign_in_elsewhere",
            "0046_issuers",
            "0047_overdue_questions",
            "0048_notices",
            "0049_bounce_hosts",
            "0050_deferred_questions",
            "0051_counted_releases",
            "0052_domain_relays",
            "0053_erased_drafts",
            "0055_pauses_of_the_operator",
        )
    };
    ($engine:literal, $($name:literal,)*) => {
        &[$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $engine, "/", $name, ".sql")))),*]
    };
}

type Step = (&'static str, &'static str);

const SQLITE: &[Step] = steps!("sqlite");
const POSTGRES: &[Step] = steps!("postgres");

/// The history of SQLite's schema.
pub(super) fn of_sqlite() -> Migrator {
    migrator(SQLITE)
}

/// The history of PostgreSQL's.
pub(super) fn of_postgres() -> Migrator {
    migrator(POSTGRES)
}

fn migrator(steps: &[Step]) -> Migrator {
    Migrator::with_migrations(steps.iter().filter_map(|step| migration(*step)).collect())
}

/// `None` for a name without a number, which a test finds.
fn migration((name, sql): Step) -> Option<Migration> {
    let (version, description) = name.split_once('_')?;
    let description = description.replace('_', " ").into();
    Some(Migration::new(version.parse().ok()?, description, MigrationType::Simple, SqlStr::from_static(sql), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_a_step_with_a_number_of_its_own() {
        for (engine, steps, history) in [("sqlite", SQLITE, of_sqlite()), ("postgres", POSTGRES, of_postgres())] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
            let entries = std::fs::read_dir(folder).unwrap();
            let mut files: Vec<String> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            files.sort();
            let listed: Vec<String> = steps.iter().map(|(name, _)| format!("{name}.sql")).collect();
            assert_eq!(listed, files, "{engine}");
            let mut versions: Vec<i64> = history.iter().map(|step| step.version).collect();
            versions.dedup();
            assert_eq!(versions.len(), files.len(), "{engine}: {versions:?}");
            assert!(steps.iter().all(|(_, sql)| !sql.starts_with("-- no-transaction")), "{engine}");
        }
    }

    #[test]
    fn a_step_has_the_name_and_digest_under_which_installations_have_recorded_it() {
        let first = &of_sqlite().migrations[0];
        assert_eq!((first.version, first.description.as_ref()), (1, "initial"));
        let digest: String = first.checksum.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            digest,
            "bcb4b40ae6b7c50737c7e91060ed83e81d900c724329c1929b3355787d41fc1aceb6971a8bc27929319a21797fc79f7b"
        );
    }
}
