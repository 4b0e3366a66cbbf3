//! The two engines that hold the data, and running one test on both.

use super::Database;

/// Where a gateway keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A file in its data folder; mail is in its spool log.
    Sqlite,
    /// A database of its own on the server of `CONNEX_TEST_POSTGRES`, which holds mail too.
    Postgres,
}

impl Engine {
    /// A new database, where the engine has any outside of the data folder.
    pub fn database(self) -> Option<Database> {
        (self == Self::Postgres).then(Database::fresh)
    }
}

/// Makes tests `NAME::sqlite` and `NAME::postgres` of each function `NAME(engine: Engine)`.
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                super::$name($crate::harness::Engine::Sqlite);
            }

            #[test]
            fn postgres() {
                super::$name($crate::harness::Engine::Postgres);
            }
        }
    )+};
}

pub(crate) use on_both_engines;
