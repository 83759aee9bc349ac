//! The live index from outside: whatever happened to it, its answers are those of a search through all
//! vehicles.

mod brute_force;
mod many_in_one_place;
mod model;
mod places;
mod questions;
mod readers;
mod rules;
mod storms;
