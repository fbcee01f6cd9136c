//! The rooms of content on a real database.

mod authoring;
mod versions;
mod world;
