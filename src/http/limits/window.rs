//! One window of one subject as one node knows it: counting alone, without IO, clocks or locks.
//!
//! A node lets in what it took for itself, its *own* part of the quota, and asks for more when that is spent. The sum of what
//! nodes took is never over the quota, and so is the sum of what they let in, for as long as they can ask. While nobody
//! answers, a node lets in what was left when it last heard, which it then owes: what it takes next pays that first.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::service::limits::Block;

/// A window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// When it ends.
    pub(super) ends: Timestamp,
    quota: u32,
    /// Requests that this node let in.
    used: u32,
    /// What this node may let in by itself.
    own: u32,
    /// What nobody had taken when that was last heard.
    left: u32,
}

/// What is done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It was counted, and goes on.
    Admitted,
    /// It is one too many.
    Over,
    /// So much more is needed before that can be said.
    Ask(u32),
}

impl Window {
    /// A window of a node that is alone: all of it is its own.
    pub(super) const fn alone(quota: u32, ends: Timestamp) -> Self {
        Self { ends, quota, used: 0, own: quota, left: 0 }
    }

    /// A window that other nodes count in too.
    pub(super) const fn shared(quota: u32, ends: Timestamp) -> Self {
        Self { ends, quota, used: 0, own: 0, left: quota }
    }

    /// Counts a request.
    pub(super) const fn count(&mut self) -> Step {
        if self.used < self.own {
            self.used += 1;
            Step::Admitted
        } else if self.left == 0 {
            Step::Over
        } else {
            let owed = self.used - self.own;
            Step::Ask(self.quota.div_ceil(BLOCKS).saturating_add(owed))
        }
    }

    /// Counts a request while nobody can be asked.
    pub(super) const fn count_unasked(&mut self) -> Step {
        if self.used < self.own.saturating_add(self.left) {
            self.used += 1;
            Step::Admitted
        } else {
            Step::Over
        }
    }

    /// Adds what was taken. Each answer either adds something or ends the asking.
    pub(super) const fn take(&mut self, block: Block) {
        self.own = self.own.saturating_add(block.granted);
        self.left = if block.granted == 0 { 0 } else { block.left };
    }

    /// What is left in all, as far as this node knows; never more.
    pub(super) const fn remaining(&self) -> u32 {
        self.own.saturating_add(self.left).saturating_sub(self.used)
    }
}

/// A block is a sixteenth of the quota: 2 of 30, 38 of 600. A node that goes, or is not asked again, keeps no more from the
/// others.
const BLOCKS: u32 = 16;

/// When the window ends that `now` is in, for all nodes the same: windows begin at multiples of their length.
pub(super) fn end_of_window(now: Timestamp, length: Duration) -> Timestamp {
    let length = i64::try_from(length.as_micros()).unwrap_or(i64::MAX).max(1);
    let begun = now.as_micros().div_euclid(length).saturating_mul(length);
    Timestamp::from_micros(begun.saturating_add(length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The row that nodes share, as the store keeps it.
    struct Row {
        quota: u32,
        taken: u32,
    }

    impl Row {
        fn take(&mut self, wanted: u32) -> Block {
            let left = self.quota - self.taken;
            let granted = if left / 4 >= wanted { wanted } else { left.div_ceil(4) };
            self.taken += granted;
            Block { granted, left: self.quota - self.taken }
        }
    }

    /// One request at a node; `answers` says whether the row can be reached.
    fn request(node: &mut Window, row: &mut Row, answers: bool) -> (Step, u32) {
        for asked in 0.. {
            match node.count() {
                Step::Ask(_) if !answers => return (node.count_unasked(), asked),
                Step::Ask(wanted) => node.take(row.take(wanted)),
                counted => return (counted, asked),
            }
        }
        unreachable!()
    }

    fn nodes(count: usize, quota: u32) -> Vec<Window> {
        vec![Window::shared(quota, Timestamp::from_micros(0)); count]
    }

    proptest! {
        #[test]
        fn nodes_together_let_in_no_more_than_the_quota_and_promise_no_more(
            quota in 0..700_u32,
            turns in proptest::collection::vec(0..5_usize, 0..900),
        ) {
            let (mut nodes, mut row, mut admitted) = (nodes(5, quota), Row { quota, taken: 0 }, 0);
            for turn in turns {
                let (step, _) = request(&mut nodes[turn], &mut row, true);
                admitted += u32::from(step == Step::Admitted);
                prop_assert!(admitted <= row.taken && row.taken <= quota);
                let own = nodes[turn].used;
                prop_assert!(nodes[turn].remaining() <= quota - own);
                // What was just heard is true now, and unused blocks of others are not promised.
                if step == Step::Over {
                    prop_assert_eq!((nodes[turn].remaining(), row.taken), (0, quota));
                }
            }
        }

        #[test]
        fn who_calls_all_nodes_in_turn_gets_the_whole_quota_for_few_questions(quota in 1..2_000_u32, count in 1..5_usize) {
            let (mut nodes, mut row) = (nodes(count, quota), Row { quota, taken: 0 });
            let (mut admitted, mut asked, mut refused) = (0, 0, 0);
            for turn in (0..count).cycle() {
                let (step, questions) = request(&mut nodes[turn], &mut row, true);
                asked += questions;
                match step {
                    Step::Admitted => (admitted, refused) = (admitted + 1, 0),
                    _ => refused += 1,
                }
                if refused == count {
                    break;
                }
            }
            prop_assert_eq!(admitted, quota);
            prop_assert!(asked <= BLOCKS + 24 + u32::try_from(count).unwrap(), "{} questions", asked);
        }

        #[test]
        fn without_answers_a_node_stays_within_the_quota_and_pays_later(
            quota in 1..200_u32,
            turns in proptest::collection::vec((0..3_usize, any::<bool>()), 0..600),
        ) {
            let (mut nodes, mut row) = (nodes(3, quota), Row { quota, taken: 0 });
            for (turn, answers) in turns {
                let owed = nodes[turn].used.saturating_sub(nodes[turn].own);
                let (step, _) = request(&mut nodes[turn], &mut row, answers);
                let node = nodes[turn];
                prop_assert!(node.used <= quota && row.taken <= quota);
                if answers && step == Step::Admitted {
                    prop_assert!(node.used <= node.own, "what was owed was taken first");
                }
                prop_assert!(!answers || step == Step::Admitted || node.left == 0 || owed == 0);
            }
            let owed: u32 = nodes.iter().map(|node| node.used.saturating_sub(node.own)).sum();
            prop_assert!(nodes.iter().map(|node| node.used).sum::<u32>() <= row.taken + owed);
        }
    }

    #[test]
    fn windows_end_at_multiples_of_their_length() {
        let end = |now| end_of_window(Timestamp::from_micros(now), Duration::from_secs(60)).as_micros();
        assert_eq!((end(0), end(59_999_999), end(60_000_000)), (60_000_000, 60_000_000, 120_000_000));
        assert_eq!(end(-1), 0);
    }
}
