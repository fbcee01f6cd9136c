//! Billing: customers and their subscriptions as the provider has them, offers, redemptions, and the providers
//! themselves.

pub mod providers;
