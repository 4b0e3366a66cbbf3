//! Claims about a log beside a database that was lost.

use std::path::Path;
use std::sync::Arc;

use super::super::{AppError, Instance, open_spool};
use super::*;
use crate::app::doors;
use crate::clock::Clock;
use crate::config::Loader;
use crate::ids::{SessionId, TenantId};
use crate::mail::address::{Mailbox, ReversePath};
use crate::mail::envelope::{BodyKind, Door, Envelope, ForwardPath, Manifest, Origin};
use crate::spool::Spool;

async fn open(folder: &Path, adopt: &str) -> Instance {
    let config = Loader::new().dir(Some(folder)).set("--adopt", "spool.adopt", adopt);
    let config = config.set("--segment", "spool.segment_size", "1MiB").load().unwrap();
    let instance = Instance::open(Arc::new(config), Clock::System).await.unwrap();
    doors::recipients(&instance, crate::dns::Resolver::scripted()).ensure_operator().await.unwrap();
    instance
}

async fn close(instance: Instance, spool: Option<Spool>) {
    if let Some(spool) = spool {
        spool.close().await;
    }
    instance.store.close().await;
}

/// A first start that took one message and ended before it was recorded.
async fn take_one(folder: &Path, recipient: impl AsyncFnOnce(&Instance) -> Recipient) {
    let instance = open(folder, "false").await;
    let recipient = recipient(&instance).await;
    let spool = open_spool(&instance).await.unwrap();
    let clock = Clock::System;
    let manifest = Manifest {
        id: clock.mint(),
        received_at: clock.now(),
        envelope: Envelope {
            reverse_path: ReversePath::Null,
            forward_paths: vec![ForwardPath::new(Mailbox::parse("deals@in.example").unwrap(), recipient)],
            body: BodyKind::SevenBit,
            smtputf8: false,
            envelope_id: None,
            returned: None,
        },
        origin: Origin {
            door: Door::Smtp,
            session: clock.mint::<SessionId>(),
            peer: Some("127.0.0.1".parse().unwrap()),
            proxy: None,
            helo: "client.example".into(),
            tls: None,
            authenticated: None,
            certificate: None,
            provider: None,
            client: None,
        },
        defects: Vec::new(),
        quiet: false,
        verdict: crate::mail::envelope::Verdict::NotAsked,
        milter: None,
    };
    let mut incoming = spool.begin();
    incoming.push(b"Subject: x\r\n\r\nx\r\n").await.unwrap();
    let _ = incoming.commit(manifest).await.unwrap();
    close(instance, Some(spool)).await;
}

async fn to_a_tenant(instance: &Instance) -> Recipient {
    let tenant: TenantId = instance.store.add_tenant("harbor").await.unwrap();
    Recipient::Mailbox { tenant, mailbox: instance.store.clock().mint() }
}

async fn to_the_operator(instance: &Instance) -> Recipient {
    let mailboxes = instance.store.for_tenant(OPERATOR).mailboxes().await.unwrap();
    Recipient::Mailbox { tenant: OPERATOR, mailbox: mailboxes[0].id }
}

fn lose_database(folder: &Path) {
    for name in ["connex.db", "connex.db-wal", "connex.db-shm"] {
        let _ = std::fs::remove_file(folder.join(name));
    }
    assert!(!folder.join("connex.db").exists());
}

async fn is_refused_until_adopted(folder: &Path) {
    for _ in 0..2 {
        let instance = open(folder, "false").await;
        let refused = open_spool(&instance).await.unwrap_err();
        assert!(matches!(refused, AppError::UnknownLog { .. }), "{refused}");
        assert!(refused.to_string().contains("spool.adopt"), "{refused}");
        close(instance, None).await;
    }
    let instance = open(folder, "true").await;
    let spool = open_spool(&instance).await.unwrap();
    close(instance, Some(spool)).await;
}

#[tokio::test]
async fn a_log_beside_a_database_that_was_lost_is_refused_until_it_is_adopted() {
    let folder = tempfile::tempdir().unwrap();
    take_one(folder.path(), to_a_tenant).await;
    lose_database(folder.path());
    is_refused_until_adopted(folder.path()).await;
}

#[tokio::test]
async fn mail_for_the_operator_of_a_lost_database_is_told_from_that_of_this_one() {
    let folder = tempfile::tempdir().unwrap();
    take_one(folder.path(), to_the_operator).await;
    lose_database(folder.path());
    is_refused_until_adopted(folder.path()).await;
}

#[tokio::test]
async fn a_tenant_that_is_made_anew_does_not_make_the_log_known() {
    let folder = tempfile::tempdir().unwrap();
    take_one(folder.path(), to_a_tenant).await;
    lose_database(folder.path());
    let instance = open(folder.path(), "false").await;
    instance.store.add_tenant("harbor").await.unwrap();
    close(instance, None).await;
    is_refused_until_adopted(folder.path()).await;
}

#[tokio::test]
async fn a_first_start_that_was_cut_short_before_its_first_cursor_goes_on() {
    for to_operator in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        match to_operator {
            true => take_one(folder.path(), to_the_operator).await,
            false => take_one(folder.path(), to_a_tenant).await,
        }
        let instance = open(folder.path(), "false").await;
        let spool = open_spool(&instance).await.unwrap();
        close(instance, Some(spool)).await;
    }
}

/// What is wrong with opening what is in `folder`, if anything is.
async fn refusal(folder: &Path) -> Option<AppError> {
    let config = Loader::new().dir(Some(folder)).set("--segment", "spool.segment_size", "1MiB").load().unwrap();
    match Instance::open(Arc::new(config), Clock::System).await {
        Ok(instance) => {
            close(instance, None).await;
            None
        }
        Err(error) => Some(error),
    }
}

#[tokio::test]
async fn a_database_that_is_made_anew_does_not_learn_a_wrong_key_in_place_of_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    take_one(folder.path(), to_a_tenant).await;
    lose_database(folder.path());
    let (key, away) = (folder.path().join("instance.key"), folder.path().join("away"));
    std::fs::rename(&key, &away).unwrap();
    for wrong in [Some("f".repeat(64)), None] {
        if let Some(wrong) = wrong {
            std::fs::write(&key, wrong).unwrap();
        }
        let refused = refusal(folder.path()).await.unwrap();
        assert!(matches!(refused, AppError::BodyKey { .. }), "{refused}");
        assert!(refused.to_string().contains("Put that one back"), "{refused}");
        std::fs::remove_file(&key).unwrap();
    }
    std::fs::rename(&away, &key).unwrap();
    assert!(refusal(folder.path()).await.is_none(), "with the right key it opens, and no database must be removed");
    is_refused_until_adopted(folder.path()).await;
}
