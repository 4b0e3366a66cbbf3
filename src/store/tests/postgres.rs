//! What only PostgreSQL needs: commits that must be confirmed, and nodes that hear of one another.

use super::*;

#[tokio::test]
async fn a_commit_that_the_server_warned_of_is_no_commit() {
    let scene = Scene::new(Engine::Postgres).await;
    // A standby that does not confirm is told in the same way: as a warning, while the commit itself succeeds.
    scene
        .place
        .run(
            "CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE WARNING 'canceling wait for synchronous replication'; RETURN NULL; END $$; \
             CREATE CONSTRAINT TRIGGER warns AFTER INSERT ON apps DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION warn()",
        )
        .await;
    let error = scene.own().put_app("warned", &AppProfileRow::default()).await.unwrap_err();
    assert!(error.is_temporary(), "{error:?}");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("synchronous standby"), "{error:?}");
    // A warning in the middle of a transaction, or none, is not about the commit.
    scene.store.add_tenant("other").await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_is_given_up_leaves_nothing_and_takes_no_connection_with_it() {
    let scene = Scene::new(Engine::Postgres).await;
    for round in 0..20 {
        let adding = scene.store.add_tenant("given up");
        let mut adding = Box::pin(adding);
        // Polled a few times, then dropped wherever it is.
        for _ in 0..=round % 7 {
            if futures_util::poll!(&mut adding).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let names = scene.store.tenants().await.unwrap().into_iter().map(|tenant| tenant.name).collect::<Vec<_>>();
    assert!(names.iter().filter(|name| *name == "given up").count() <= 1, "{names:?}");
    scene.store.add_tenant("after").await.unwrap();
}

#[tokio::test]
async fn an_event_that_another_node_recorded_wakes_those_who_watch_here() {
    let scene = Scene::new(Engine::Postgres).await;
    let other = scene.place.open(Clock::System).await;
    let mut hints = other.events_recorded();
    // The listener says itself that it is there, by looking once.
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, hints.changed()).await.unwrap().unwrap();
    hints.mark_unchanged();
    scene.store.record_mail(vec![scene.message(1)], at(CURSOR)).await.unwrap();
    tokio::time::timeout(patience, hints.changed()).await.expect("a hint within seconds").unwrap();
    assert_eq!(other.for_tenant(scene.tenant).newest_cursor().await.unwrap(), 1);
}

#[test]
fn trouble_of_the_server_is_temporary_and_faults_of_a_statement_are_not() {
    for code in ["08006", "40P01", "40001", "53100", "53300", "55P03", "57P01", "57P03", "58030", "25006", "XX001"] {
        assert!(dialect::postgres::is_temporary(code), "{code}");
    }
    for code in ["23505", "23503", "22021", "42P01", "42601", "54000"] {
        assert!(!dialect::postgres::is_temporary(code), "{code}");
    }
}
