//! Roles of people: what each may do, and whose account each may change.
//!
//! Each role may do what those before it may. A role never comes from a key: only a signed-in person has one.

use serde::{Deserialize, Serialize};

/// What a person may do in a tenant; later ones may do more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Works: writes drafts, does tasks.
    Agent,
    /// Decides about drafts.
    Approver,
    /// Also sets up: users, keys, domains, routes.
    Admin,
    /// Also makes owners and admins.
    Owner,
}

impl Role {
    /// From the least to the most.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Agent, Self::Approver, Self::Admin, Self::Owner];

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Agent => "agent",
            Self::Approver => "approver",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The role of this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    /// Whether a person of this role may do what needs `required`.
    #[must_use]
    pub fn allows(self, required: Self) -> bool {
        self >= required
    }

    /// Whether a person of this role may make, change or disable accounts of the role `other`: owners all, admins those
    /// below them. So no admin can make another, nor shut an owner out.
    #[must_use]
    pub fn may_manage(self, other: Self) -> bool {
        match self {
            Self::Owner => true,
            Self::Admin => other < Self::Admin,
            Self::Approver | Self::Agent | Self::Viewer => false,
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_what_those_before_it_may_and_no_more() {
        for (place, role) in Role::ALL.into_iter().enumerate() {
            let allowed: Vec<bool> = Role::ALL.map(|required| role.allows(required)).to_vec();
            assert_eq!(allowed, (0..Role::ALL.len()).map(|other| other <= place).collect::<Vec<_>>(), "{role}");
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
    }

    #[test]
    fn owners_manage_all_admins_those_below_and_others_nobody() {
        let managed = |role: Role| Role::ALL.into_iter().filter(move |other| role.may_manage(*other)).count();
        assert_eq!(Role::ALL.map(managed), [0, 0, 0, 3, 5]);
        assert!(!Role::Admin.may_manage(Role::Admin) && !Role::Admin.may_manage(Role::Owner));
    }
}
