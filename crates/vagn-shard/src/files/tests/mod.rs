//! The files on a disk that fails on purpose, with their threads played one step at a time.

mod copied;
mod crash;
mod damage;
mod fuzz;
mod opening;
mod orders;
mod player;
mod rig;
mod room;
mod sizes;
mod threads;
