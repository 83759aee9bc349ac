//! Access: the role that a route asks of its caller, and the roles that include it.

use std::fmt;

use vagn_registry::Role;

/// The access that a route gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To every caller, with or without a token.
    Anyone,
    /// To principals that may what this role may.
    Role(Role),
}

impl From<Role> for Access {
    fn from(role: Role) -> Self {
        Self::Role(role)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anyone => "anyone",
            Self::Role(role) => role.word(),
        })
    }
}

/// Returns true if a principal with the role `held` may what `asked` may.
///
/// To send reports is no step of the ladder: a reader of the fleet cannot invent vehicles, and a sender of reports sees none.
pub fn may(held: Role, asked: Role) -> bool {
    match (held, asked) {
        (Role::Admin, _) => true,
        (Role::Ingest, _) | (_, Role::Ingest) => held == asked,
        _ => held >= asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_the_table_says() {
        for (held, may_be) in [
            (Role::Ingest, &[Role::Ingest][..]),
            (Role::Latest, &[Role::Latest]),
            (Role::Read, &[Role::Latest, Role::Read]),
            (Role::Operate, &[Role::Latest, Role::Read, Role::Operate]),
            (Role::Admin, &Role::ALL),
        ] {
            let found: Vec<Role> = Role::ALL.into_iter().filter(|asked| may(held, *asked)).collect();
            assert_eq!(found, may_be, "{held:?}");
        }
    }
}
