//! `identity-svc verify-audit`: reads every chain from its beginning and says whether it holds.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use kit::Scope;

use super::chain::{Head, broken};
use super::store::AuditStore;

#[derive(Parser)]
#[command(name = "identity-svc verify-audit", about = "Verifies the hash chains of the audit trail")]
pub struct Args {
    #[command(flatten)]
    pub data: kit::config::Data,
}

/// What became of one chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub scope: Scope,
    /// The last entry that holds.
    pub head: Head,
    /// The entry that does not, and why.
    pub broken: Option<(String, &'static str)>,
}

/// Reads a chain in pages: as much memory for a million entries as for a hundred.
pub async fn verify(store: &AuditStore, scope: &Scope) -> Result<Verdict, store::Error> {
    let mut head = Head::default();
    loop {
        let page = store.after(scope, head.position).await?;
        if page.is_empty() {
            return Ok(Verdict { scope: scope.clone(), head, broken: None });
        }
        for entry in page {
            if let Some(why) = broken(&head, scope, &entry.id, &entry.body) {
                return Ok(Verdict { scope: scope.clone(), head, broken: Some((entry.id, why)) });
            }
            head = Head { position: entry.body.position, hash: entry.body.hash };
        }
    }
}

/// The command. Prints a line for each chain; fails when one does not hold.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let db = store::connect(&args.data, crate::NAME).await?;
    let store = AuditStore::open(&db, Arc::new(kit::clock::SystemClock)).await?;
    let mut code = ExitCode::SUCCESS;
    let chains = store.chains().await?;
    for scope in &chains {
        let Verdict { head, broken, .. } = verify(&store, scope).await?;
        let place = format!("{} {}", scope.company, scope.mode.as_str());
        match broken {
            None => println!("ok      {place}: {} entries, head {}", head.position, head.hash),
            Some((id, why)) => {
                println!("BROKEN  {place}: after position {}, at {id}: {why}", head.position);
                code = ExitCode::FAILURE;
            }
        }
    }
    println!("{} chains. Note the heads elsewhere: a chain whose end was cut off holds, too.", chains.len());
    Ok(code)
}
