//! A service as it is reached: its listener, its certificates.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that cannot go on should stop and say where"
)]

mod health;
mod listener;
mod mutual_tls;
