//! What was let out of late, as limits count it, on both engines.

use super::drafts::{draft, hash, question, release, version, yes};
use super::engine::on_both_engines;
use super::*;
use crate::governance::{Approval, Evidence};
use crate::ids::{AppId, DraftId, MailboxId};
use crate::store::releases::NewRelease;
use crate::store::sql::query;
use crate::store::usage::{Approach, Counted, Others};

on_both_engines! {
    a_release_counts_for_a_day_under_each_of_its_limits_and_not_against_itself,
    what_leaves_later_counts_on_the_day_on_which_it_leaves,
    words_to_people_who_were_new_are_found_and_others_are_not,
    releases_of_the_day_before_the_table_came_count_as_well,
}

/// What counts for a draft that would leave now.
fn for_one(scene: &Scene, draft: DraftId) -> Others {
    Others { draft, at: scene.store.clock().now(), is_released: false }
}

fn domain(name: &str) -> Counted {
    Counted::Domain(crate::mail::address::Domain::parse(name).unwrap())
}

const ANN: &str = "ann@lakeside.example";

fn everything() -> Vec<Counted> {
    vec![
        Counted::Tenant,
        Counted::Mailbox(MailboxId::from_bits(5)),
        Counted::App(AppId::from_bits(8)),
        Counted::Agent("a1".into()),
        domain("lakeside.example"),
        domain("harbor.example"),
        Counted::Automatic(ANN.into()),
        Counted::Automatic("bo@harbor.example".into()),
        // Of these there are none.
        Counted::Mailbox(MailboxId::from_bits(6)),
        Counted::Agent("a".into()),
        domain("example"),
        Counted::Automatic("Ann@lakeside.example".into()),
    ]
}

/// Releases a draft that was approved, as `change` has it.
async fn let_out(scene: &Scene, change: impl FnOnce(&mut NewRelease)) -> DraftId {
    let (own, clock) = (scene.own(), scene.store.clock());
    let (id, approval) = (clock.mint(), clock.mint());
    own.add_draft(draft(id, clock.mint()), version(clock, 1, "x"), None).await.unwrap();
    own.ask_approval(question(clock, id, approval)).await.unwrap();
    own.approve(Approval { content_hash: hash("x"), ..yes(clock, scene.tenant, id, approval) }).await.unwrap();
    let mut new = release(clock, scene.tenant, id);
    new.agent = Some("a1".into());
    new.counted = vec![
        Counted::Tenant,
        Counted::Mailbox(MailboxId::from_bits(5)),
        Counted::App(AppId::from_bits(8)),
        Counted::Agent("a1".into()),
        domain("lakeside.example"),
        domain("harbor.example"),
    ];
    change(&mut new);
    own.release_draft(new).await.unwrap();
    id
}

async fn a_release_counts_for_a_day_under_each_of_its_limits_and_not_against_itself(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock().clone());
    let began = clock.now();
    let hour = Duration::from_hours(1);
    let first = let_out(&scene, |_| {}).await;
    clock.advance(hour);
    let by_person = |new: &mut NewRelease| new.row.evidence = Evidence::Person { approval: clock.mint() };
    let second = let_out(&scene, by_person).await;
    let nobody = clock.mint::<DraftId>();
    let under = everything();
    let counts = async |others: Others| own.let_out(others, &under).await.unwrap();
    assert_eq!(counts(for_one(&scene, nobody)).await, [2, 2, 2, 2, 2, 2, 1, 1, 0, 0, 0, 0]);
    assert_eq!(counts(for_one(&scene, first)).await, [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(counts(for_one(&scene, second)).await, [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]);
    // Of two that are released already, the second waits for the first alone.
    let released = |draft, at| Others { draft, at, is_released: true };
    assert_eq!(counts(released(first, began)).await[0], 0);
    assert_eq!(counts(released(second, began.plus(hour))).await[0], 1);
    assert_eq!(own.approaches(released(first, began)).await.unwrap(), Some(Vec::new()));
    assert_eq!(own.let_out_at(released(first, began), &Counted::Tenant, 1).await.unwrap(), None);
    let at = |place| own.let_out_at(for_one(&scene, nobody), &Counted::Tenant, place);
    assert_eq!(at(1).await.unwrap(), Some(began.plus(hour)));
    assert_eq!((at(2).await.unwrap(), at(3).await.unwrap()), (Some(began), None));
    assert_eq!(own.let_out_at(for_one(&scene, second), &Counted::Tenant, 1).await.unwrap(), Some(began));
    assert_eq!(own.drop_counted().await.unwrap(), 0);
    // The first is a day old to the microsecond.
    clock.advance(Duration::from_hours(23));
    assert_eq!(counts(for_one(&scene, nobody)).await[0], 1);
    assert_eq!(own.approaches(for_one(&scene, nobody)).await.unwrap().map(|all| all.len()), Some(1));
    assert_eq!(own.drop_counted().await.unwrap(), 8, "under each of which it counted");
    assert_eq!(counts(for_one(&scene, nobody)).await[0], 1);
}

async fn what_leaves_later_counts_on_the_day_on_which_it_leaves(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock().clone());
    let week = clock.now().plus(Duration::from_hours(7 * 24));
    let mut drafts = Vec::new();
    for _ in 0..3 {
        drafts.push(let_out(&scene, |new| new.send_at = week).await);
        clock.advance(Duration::from_hours(25));
    }
    let count = async |others: Others| own.let_out(others, &[Counted::Tenant]).await.unwrap()[0];
    let nobody = clock.mint::<DraftId>();
    assert_eq!(count(for_one(&scene, nobody)).await, 0, "nothing leaves today");
    assert_eq!(count(Others { draft: nobody, at: week, is_released: false }).await, 3);
    // They leave at one moment, and each has a place.
    let mut places = Vec::new();
    for draft in &drafts {
        places.push(count(Others { draft: *draft, at: week, is_released: true }).await);
    }
    places.sort_unstable();
    assert_eq!(places, [0, 1, 2]);
}

async fn words_to_people_who_were_new_are_found_and_others_are_not(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, nobody) = (scene.own(), scene.store.clock().mint::<DraftId>());
    assert_eq!(own.approaches(for_one(&scene, nobody)).await.unwrap(), Some(Vec::new()));
    let first = let_out(&scene, |new| (new.similarity, new.newcomers) = (u64::MAX, 2)).await;
    let second = let_out(&scene, |new| (new.similarity, new.newcomers) = (1 << 63, 1)).await;
    let_out(&scene, |new| (new.similarity, new.newcomers) = (7, 0)).await;
    let (first_was, second_was) =
        (Approach { likeness: u64::MAX, newcomers: 2 }, Approach { likeness: 1 << 63, newcomers: 1 });
    let mut all = own.approaches(for_one(&scene, nobody)).await.unwrap().unwrap();
    all.sort_by_key(|one| one.newcomers);
    assert_eq!(all, [second_was, first_was]);
    assert_eq!(own.approaches(for_one(&scene, first)).await.unwrap(), Some(vec![second_was]));
    assert_eq!(own.approaches(for_one(&scene, second)).await.unwrap(), Some(vec![first_was]));
}

async fn releases_of_the_day_before_the_table_came_count_as_well(engine: Engine) {
    let scene = Scene::new(engine).await;
    let (own, clock) = (scene.own(), scene.store.clock().clone());
    // The step goes by the database's own clock.
    clock.advance(Duration::from_micros(Clock::System.now().as_micros().abs_diff(clock.now().as_micros())));
    let_out(&scene, |_| {}).await;
    let_out(&scene, |new| new.row.evidence = Evidence::Person { approval: clock.mint() }).await;
    let under = everything();
    let mut expected = own.let_out(for_one(&scene, clock.mint()), &under).await.unwrap();
    assert_eq!(expected[2], 2);
    // Its mailbox is none that there is, so that nothing tells its app.
    expected[2] = 0;
    let file = match engine {
        Engine::Sqlite => include_str!("../../../migrations/sqlite/0051_counted_releases.sql"),
        Engine::Postgres => include_str!("../../../migrations/postgres/0051_counted_releases.sql"),
    };
    let fill = file.find("INSERT INTO").and_then(|from| file[from..].split_once(';')).unwrap().0;
    let filled = scene.store.write(move |connection| {
        Box::pin(async move {
            query("DELETE FROM counted_releases").execute(&mut *connection).await?;
            Ok(query(fill).execute(connection).await?)
        })
    });
    assert_eq!(filled.await.unwrap(), 12);
    assert_eq!(own.let_out(for_one(&scene, clock.mint()), &under).await.unwrap(), expected);
}
