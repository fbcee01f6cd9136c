//! A line to a server that can be cut, made slow or noisy, and mended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of what the server says.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Whole,
    Cut,
    /// It comes so much later.
    Slow(Duration),
    /// Something else comes in its place.
    Noise,
}

/// What a machine in between may say that knows nothing of the protocol.
const NOISE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>It works!</html>\0\xff\xfe";

pub struct Line {
    /// Where it begins: `127.0.0.1:port`.
    pub at: String,
    state: Arc<watch::Sender<State>>,
    begun: Arc<AtomicUsize>,
}

impl Line {
    /// A line to `host:port`.
    #[expect(clippy::disallowed_methods, reason = "ends with the test")]
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let state = Arc::new(watch::Sender::new(State::Whole));
        let begun = Arc::new(AtomicUsize::new(0));
        let (target, states, count) = (target.to_owned(), state.clone(), begun.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (target, state) = (target.clone(), states.subscribe());
                tokio::spawn(async move {
                    let mut cut = state.clone();
                    let through = async {
                        let far = TcpStream::connect(target).await?;
                        let ((asked, answer), (heard, ask)) = (near.into_split(), far.into_split());
                        tokio::try_join!(carry(asked, ask, None), carry(heard, answer, Some(state)))
                    };
                    // Cut, both ends see that the other is gone.
                    tokio::select! {
                        _ = cut.wait_for(|state| *state == State::Cut) => {}
                        _ = through => {}
                    }
                });
            }
        });
        Self { at, state, begun }
    }

    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Whatever the server says comes so much later.
    pub fn slow(&self, by: Duration) {
        self.state.send_replace(State::Slow(by));
    }

    /// Whatever the server says, something else comes.
    pub fn garble(&self) {
        self.state.send_replace(State::Noise);
    }

    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
    }

    /// How many connections were begun, in vain or not.
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }
}

/// Carries one direction until it ends; answers suffer what the line suffers.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    suffers: Option<watch::Receiver<State>>,
) -> std::io::Result<()> {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut bytes).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let state = suffers.as_ref().map_or(State::Whole, |s| *s.borrow());
        if let State::Slow(by) = state {
            tokio::time::sleep(by).await;
        }
        let said = if state == State::Noise { NOISE } else { &bytes[..read] };
        to.write_all(said).await?;
    }
}
