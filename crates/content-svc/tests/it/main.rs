//! The rooms of content on a real database.

mod authoring;
mod demo;
mod versions;
mod world;
