//! The messages, clients and servers of every service, made from `proto/`, and the descriptor set with our options:
//! the one source of routes, access rules, validation and the public API description.

#[allow(clippy::all, unused, rustdoc::all, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/all.rs"));
}

pub mod check;
pub mod json;

pub use generated::edge::v1 as edge;
pub use generated::google;
pub use generated::retention::analytics::v1 as analytics;
pub use generated::retention::billing::v1 as billing;
pub use generated::retention::common::v1 as common;
pub use generated::retention::content::v1 as content;
pub use generated::retention::events::v1 as events;
pub use generated::retention::identity::v1 as identity;
pub use generated::retention::notify::v1 as notify;
pub use generated::retention::personal::v1 as personal;

/// The compiled `proto/` with options and comments.
pub static DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/retention.fds"));

/// The descriptor set, decoded once per process.
pub fn pool() -> &'static prost_reflect::DescriptorPool {
    static POOL: std::sync::OnceLock<prost_reflect::DescriptorPool> = std::sync::OnceLock::new();
    #[expect(clippy::expect_used, reason = "the bytes were made by our own build")]
    POOL.get_or_init(|| {
        prost_reflect::DescriptorPool::decode(DESCRIPTORS).expect("the build wrote a descriptor set")
    })
}
