//! Messages to the people of the dashboard: in the dashboard, and by mail where they want it (§10.8).

mod model;
mod ops;
mod rpc;
mod store;
mod words;

pub use model::{Kind, Mode, Notification, Post, Preferences, Recipient, Severity};
pub use ops::Notifications;
pub use rpc::Rpc;
pub use store::NotificationStore;
