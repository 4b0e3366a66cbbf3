//! The same steps in histories by chance, which go farther than all of them together can be gone through.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::gate::Gate;
use super::{Left, World};
use crate::governance::chain::Link;
use crate::governance::lifecycle::DraftState;
use crate::governance::{IdentityOwner, ReplyPolicy};

/// Up to three of each.
const FAR: Left = [3, 3, 3, 3];
const CASES: u32 = 96;

impl<const L: usize, const S: usize> World<L, S> {
    fn is_given_up(&self) -> bool {
        use DraftState::{Cancelled, Denied, Expired, Withdrawn};
        matches!(self.draft, Cancelled | Denied | Expired | Withdrawn)
    }

    /// The world after a history; what must be true is true of each on the way.
    fn through(left: Left, history: &[u16], gate: &Gate<L>) -> Self {
        let mut world = Self::begin(left, gate);
        for choice in history {
            let (who, how, which) = (choice % 32, choice / 32 % 32, usize::from(choice / 1_024));
            let [by_people, by_mixing, by_senders] = world.next(gate);
            let mut next = match who {
                0 => by_mixing,
                1..12 => by_people,
                _ => by_senders,
            };
            // Few are given up, and most go on: the rest would tell little.
            if how > 0 {
                next.retain(|world| !world.is_given_up());
            }
            let onward = next.iter().position(|next| next.draft != world.draft && next.draft != DraftState::Draft);
            let Some(place) = onward.filter(|_| how > 2).or_else(|| which.checked_rem(next.len())) else { continue };
            world = next.swap_remove(place);
            world.check_all(gate);
        }
        world
    }
}

/// How much may happen besides what has to, and choices among what can come next.
fn histories() -> impl Strategy<Value = (Left, Vec<u16>)> {
    let left = FAR.map(|most| 0..=most);
    (left, proptest::collection::vec(any::<u16>(), 0..160))
}

/// In how many of the histories something was sent.
fn check(owner: IdentityOwner, reply: ReplyPolicy) -> u32 {
    let gate = Gate::<3>::new(owner, reply);
    let sent = std::cell::Cell::new(0);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&histories(), |(left, history)| {
        let world = World::<3, 3>::through(left, &history, &gate);
        let is_sent = world.lines.iter().any(|line| line.taken > 0);
        sent.set(sent.get() + u32::from(is_sent));
        Ok(())
    });
    if let Err(found) = checked {
        panic!("{owner:?} {reply:?}: {found}");
    }
    println!("{owner:?} {reply:?}: {} of {CASES} histories sent something", sent.get());
    sent.get()
}

#[test]
fn no_history_by_chance_is_against_the_invariants() {
    let owners = [IdentityOwner::Connex, IdentityOwner::CustomerDomain];
    let replies = [ReplyPolicy::HumanApproval, ReplyPolicy::PolicyAuto];
    let sent: u32 = owners.iter().flat_map(|owner| replies.map(|reply| check(*owner, reply))).sum();
    assert!(sent > 0, "histories in which nothing is sent show nothing");
    assert_eq!(check(IdentityOwner::SourceApp, ReplyPolicy::PolicyAuto), 0);
}

/// What is found is told by a short history.
#[test]
fn a_history_that_is_against_them_is_found_and_made_short() {
    let mut gate = Gate::<1>::new(IdentityOwner::Connex, ReplyPolicy::PolicyAuto);
    gate.unlogged = Some(Link::Sending);
    let config = Config { cases: 256, failure_persistence: None, rng_seed: RngSeed::Fixed(7), ..Config::default() };
    let found = TestRunner::new(config).run(&histories(), |(left, history)| {
        World::<1, 1>::through(left, &history, &gate);
        Ok(())
    });
    let Err(proptest::test_runner::TestError::Fail(reason, (_, history))) = found else { panic!("{found:?}") };
    assert!(reason.message().contains("without its chain in the log"), "{reason}");
    assert!(history.len() <= 8, "{history:?}");
}
