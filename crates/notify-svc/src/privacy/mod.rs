//! Notify's part of a privacy request: where somebody is reached, the mails that went to them or speak of them, and what
//! the company's people were told of them.

mod ops;
mod store;

pub use ops::NotifyHolder;
