//! The rooms of content on a real database.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop and say where")]

mod authoring;
mod demo;
mod shapes;
mod versions;
mod world;
