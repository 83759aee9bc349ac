//! The mark on an incident that says in which indexes it is filed.

use crate::record::standing::Standing;

/// Indexes that one incident is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Filed {
    /// With the standing under which it is counted.
    pub(super) open: Option<Standing>,
    pub(super) unaccepted: bool,
    pub(super) unacknowledged: bool,
    pub(super) dead: bool,
    pub(super) new: Option<Standing>,
    pub(super) changed: Option<Standing>,
    pub(super) awaited: bool,
    pub(super) unlocated: bool,
    /// With the mark that a target has accepted it.
    pub(super) undecided: Option<bool>,
}
