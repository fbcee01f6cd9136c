//! An access token for a person, by the mailed code: to call the API by hand or from another tool.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use super::api::{Api, text};
use super::mailbox::Mailbox;
use super::people;

/// Who signs in, and where.
#[derive(Args, Clone, Debug)]
pub struct TokenOptions {
    /// The person's e-mail address; the loaded company's people stand in the endpoints file.
    address: String,
    /// Where the running system is: the file `up` wrote.
    #[arg(long, default_value = ".dev/endpoints.json")]
    endpoints: PathBuf,
}

/// Signs the person in and prints the access token.
pub async fn run(options: TokenOptions) -> Result<()> {
    let endpoints = super::read_endpoints(&options.endpoints)?;
    let api = Api::new(&text(&endpoints, "/gateway")?)?;
    let mailbox = Mailbox::new(Path::new(&text(&endpoints, "/mail_dir")?));
    println!("{}", people::access_token(&api, &mailbox, &options.address).await?);
    Ok(())
}
