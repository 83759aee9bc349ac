//! The mark on an incident that says in which indexes it is filed.

/// Indexes that one incident is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Filed {
    pub(super) open: bool,
    pub(super) unaccepted: bool,
    pub(super) unacknowledged: bool,
    pub(super) dead: bool,
    pub(super) new: bool,
    pub(super) changed: bool,
    pub(super) awaited: bool,
    pub(super) unlocated: bool,
}
