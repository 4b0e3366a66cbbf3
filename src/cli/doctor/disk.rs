//! What the disk under the data folder means for mail.

use std::time::Duration;

use super::report::Finding;

const CHECK: &str = "disk";

/// What the file system says, and how fast it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) free: u64,
    pub(super) reserve: u64,
    /// Files that can still be made, and all; 0 in all where the file system has no such bound.
    pub(super) inodes: (u64, u64),
    /// The slowest of some flushes, or why none worked.
    pub(super) flush: Result<Duration, String>,
    /// Longer than this, and mail is put off.
    pub(super) patience: Duration,
}

/// Judges them.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mebi = |bytes: u64| bytes >> 20;
    let space = format!("{} MiB free, {} MiB are the reserve", mebi(facts.free), mebi(facts.reserve));
    let mut found = vec![if facts.free < facts.reserve {
        Finding::problem(
            CHECK,
            space,
            "free space or enlarge the disk: new mail is answered 452; or lower spool.reserve",
        )
    } else if facts.free / 2 < facts.reserve {
        Finding::note(CHECK, space, "plan for more: under the reserve new mail is answered 452")
    } else {
        Finding::good(CHECK, space)
    }];
    let (free, all) = facts.inodes;
    if all > 0 && free < FEW_INODES {
        found.push(Finding::problem(
            CHECK,
            format!("{free} inodes free of {all}"),
            "remove small files, or make the file system with more inodes: without any, no mail is taken",
        ));
    }
    found.push(match &facts.flush {
        Err(why) => Finding::problem(
            CHECK,
            format!("it cannot be flushed: {why}"),
            "mount it writable, and let the user of the service write to server.data_dir",
        ),
        Ok(time) if *time * 3 >= facts.patience => Finding::problem(
            CHECK,
            format!("a flush takes {} ms", time.as_millis()),
            "use a faster disk: each reply waits for a flush, and beyond spool.patience mail is put off",
        ),
        Ok(time) => Finding::good(CHECK, format!("a flush takes {:.1} ms", time.as_secs_f64() * 1_000.0)),
    });
    found
}

const FEW_INODES: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::super::report::Level;
    use super::*;

    fn facts() -> Facts {
        Facts {
            free: 100 << 30,
            reserve: 1 << 30,
            inodes: (1_000_000, 2_000_000),
            flush: Ok(Duration::from_millis(2)),
            patience: Duration::from_millis(1_500),
        }
    }

    fn problems(facts: &Facts) -> usize {
        let found = judge(facts);
        assert!(found.iter().all(|finding| (finding.level == Level::Good) == finding.remedy.is_none()));
        found.iter().filter(|finding| finding.level == Level::Problem).count()
    }

    #[test]
    fn each_fault_is_one_problem_with_a_remedy() {
        assert_eq!(problems(&facts()), 0);
        assert_eq!(problems(&Facts { free: 1 << 20, ..facts() }), 1);
        assert_eq!(problems(&Facts { inodes: (3, 2_000_000), ..facts() }), 1);
        assert_eq!(problems(&Facts { inodes: (0, 0), ..facts() }), 0, "a file system without that bound");
        assert_eq!(problems(&Facts { flush: Err("read-only".to_owned()), ..facts() }), 1);
        assert_eq!(problems(&Facts { flush: Ok(Duration::from_millis(900)), ..facts() }), 1);
    }
}
