//! Losses: what finds no place on its way between the parts of a node, counted by what it was.

/// What found no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// An answer that the driver waits for: it does so until its next run.
    Answer,
    /// Word to the driver that an alarm is not kept. The door tries again by itself.
    NotKept,
    /// Word of a call that a target has accepted: the leader calls once more, under the same key.
    CallNote,
    /// A change of what is kept. An alarm that stays on disk is called about once more after a restart, under the same key.
    Change,
    /// A part of the rest that the trail has: it is read and handed in once more.
    Rest,
}

impl Loss {
    /// All that may find no place.
    pub(crate) const ALL: [Self; 5] = [Self::Answer, Self::NotKept, Self::CallNote, Self::Change, Self::Rest];

    /// Returns its word in metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::NotKept => "not_kept",
            Self::CallNote => "call_note",
            Self::Change => "change",
            Self::Rest => "rest",
        }
    }
}
