//! The rooms of analytics on a real database.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so and stop")]

mod events;
mod indexes;
mod personas;
mod reports;
mod rules;
mod service;
mod speed;
mod usage;
mod world;
