//! Doors: where reports come in. They seal what arrived into batches and publish them, and know no later stage.

pub mod listen;
