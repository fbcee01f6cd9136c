//! The rooms of analytics on a real database.

mod events;
mod personas;
mod reports;
mod rules;
mod usage;
mod world;
