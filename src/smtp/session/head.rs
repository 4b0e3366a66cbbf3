//! The beginning of a copy, remembered beside the spool: of one that grows over what its route takes it is all there will be.

use crate::smtp::memory::{Memory, Share};

/// Octets that are remembered.
const OCTETS: usize = 256 * 1024;

/// The first octets of a message that is coming in.
#[derive(Debug)]
pub(super) struct Head {
    octets: Vec<u8>,
    share: Share,
    /// Whether octets were left out, so that none behind them may follow.
    is_cut: bool,
}

impl Head {
    pub(super) fn new(memory: &Memory) -> Self {
        Self { octets: Vec::new(), share: memory.share(), is_cut: false }
    }

    /// Takes what follows, as far as it is remembered. Where no memory is left it is not: nothing that is promised depends
    /// on it.
    pub(super) fn push(&mut self, run: &[u8]) {
        let run = run.get(..OCTETS.saturating_sub(self.octets.len())).unwrap_or(run);
        self.is_cut |= !self.share.grow(run.len());
        if !self.is_cut {
            self.octets.extend_from_slice(run);
        }
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_remembered_without_a_gap() {
        let mut head = Head::new(&Memory::new(u64::MAX));
        (0..5).for_each(|_| head.push(&[7; 100_000]));
        assert_eq!(head.octets(), [7; OCTETS]);
        let memory = Memory::new(10);
        let mut head = Head::new(&memory);
        head.push(b"0123456");
        let other = Head::new(&memory);
        head.push(b"789abc");
        drop(other);
        head.push(b"d");
        assert_eq!(head.octets(), b"0123456", "no memory was left for what came then");
    }
}
