//! What the stack is made of: each service's name, settings and constructor. A service that comes to be is one line in
//! [`parts`].

use std::collections::BTreeMap;
use std::ffi::OsString;

use anyhow::Result;
use clap::{Command, CommandFactory, Parser};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kit::{Service, SharedClock};

/// Settings by the name of their environment variable, of all services together. Each takes those it knows.
pub type Settings = BTreeMap<String, String>;

type Build = dyn Fn(&Settings, SharedClock) -> Result<BoxFuture<'static, Result<Service>>> + Send + Sync;

/// One service.
pub struct Part {
    pub name: &'static str,
    /// The variable that tells the others where it is.
    pub address_variable: &'static str,
    /// Where it is when nobody says.
    pub default_address: &'static str,
    /// Its settings, as clap knows them.
    pub command: Command,
    build: Box<Build>,
}

/// The services, callee before caller.
pub fn parts() -> Vec<Part> {
    vec![
        part(
            "identity-svc",
            ("RETENTION_IDENTITY_ADDR", "http://127.0.0.1:7401"),
            identity_svc::Config::command(),
            identity_svc::build,
        ),
        part(
            "billing-svc",
            ("RETENTION_BILLING_ADDR", "http://127.0.0.1:7402"),
            billing_svc::Config::command(),
            billing_svc::build,
        ),
        part(
            "analytics-svc",
            ("RETENTION_ANALYTICS_ADDR", "http://127.0.0.1:7404"),
            analytics_svc::Config::command(),
            analytics_svc::build,
        ),
        part(
            "content-svc",
            ("RETENTION_CONTENT_ADDR", "http://127.0.0.1:7403"),
            content_svc::Config::command(),
            content_svc::build,
        ),
        part(
            "notify-svc",
            ("RETENTION_NOTIFY_ADDR", "http://127.0.0.1:7405"),
            notify_svc::Config::command(),
            notify_svc::build,
        ),
        part(
            "gateway",
            ("RETENTION_GATEWAY_ADDR", "http://127.0.0.1:7400"),
            gateway::Config::command(),
            gateway::build,
        ),
    ]
}

fn part<C, Fut>(
    name: &'static str,
    (address_variable, default_address): (&'static str, &'static str),
    command: Command,
    build: fn(C, SharedClock) -> Fut,
) -> Part
where
    C: Parser + 'static,
    Fut: Future<Output = Result<Service>> + Send + 'static,
{
    let build = move |settings: &Settings, clock: SharedClock| {
        let config = C::try_parse_from(arguments(name, &C::command(), settings))?;
        Ok(build(config, clock).boxed())
    };
    Part { name, address_variable, default_address, command, build: Box::new(build) }
}

impl Part {
    /// The service with its settings. Fails at once where a setting is missing or wrong.
    pub(crate) fn build(
        &self,
        settings: &Settings,
        clock: SharedClock,
    ) -> Result<BoxFuture<'static, Result<Service>>> {
        (self.build)(settings, clock)
    }
}

/// The settings a service knows, as its own command line would carry them: its names, defaults and checks hold here,
/// too.
fn arguments(name: &'static str, command: &Command, settings: &Settings) -> Vec<OsString> {
    let known = command.get_arguments().filter_map(|argument| {
        let value = settings.get(argument.get_env()?.to_str()?)?;
        Some(OsString::from(format!("--{}={value}", argument.get_long()?)))
    });
    std::iter::once(OsString::from(name)).chain(known).collect()
}
