//! What a person at the screen sees: a line per step, and for a long one how far it is.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use super::api::Api;

/// How often a step that goes on says how far it is where lines cannot be written over.
const PAUSE: Duration = Duration::from_secs(2);

/// A step that is done.
pub fn done(what: &str) {
    println!("  {what}");
}

/// A step that goes on: on a terminal its line is written over.
pub struct Step {
    name: String,
    begun: Instant,
    last: Instant,
    written: bool,
}

impl Step {
    pub fn begin(name: &str) -> Self {
        let now = Instant::now();
        Self { name: name.to_owned(), begun: now, last: now, written: false }
    }

    pub fn at(&mut self, how_far: &str) {
        let terminal = std::io::stdout().is_terminal();
        if terminal {
            print!("\r\x1b[K  {}: {how_far}", self.name);
            std::io::stdout().flush().ok();
            self.written = true;
        } else if self.last.elapsed() > PAUSE {
            println!("  {}: {how_far}", self.name);
            self.last = Instant::now();
        }
    }

    pub fn end(self, result: &str) {
        if self.written {
            print!("\r\x1b[K");
        }
        println!("  {}: {result} ({:.1} s)", self.name, self.begun.elapsed().as_secs_f64());
    }
}

/// Where something stands that is asked for again and again.
pub enum Stands {
    /// Not done; in words, how far.
    At(String),
    Done,
    Failed,
}

/// Asks until it is done; fails when it failed, or when `patience` passed without any change.
pub async fn follow(
    api: &Api,
    (method, path, body): (&str, &str, Option<Value>),
    patience: Duration,
    step: &mut Step,
    stands: impl Fn(&Value) -> Stands,
) -> Result<Value> {
    let (mut last, mut since) = (String::new(), Instant::now());
    loop {
        let answer = api.call(method, path, body.clone()).await?;
        match stands(&answer) {
            Stands::Done => return Ok(answer),
            Stands::Failed => bail!("{path} ended badly: {answer}"),
            Stands::At(now) => {
                step.at(&now);
                if now != last {
                    (last, since) = (now, Instant::now());
                } else if since.elapsed() > patience {
                    bail!("{path} stands still since {} s at {last}", patience.as_secs());
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
