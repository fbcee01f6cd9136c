//! Hosted pages: the flow in a customer's browser, for companies that let us host it. Forms and redirects only; every
//! page can be reloaded, and the form of an old page changes nothing.

pub mod rpc;
mod verify;
