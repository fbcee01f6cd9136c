//! A line to a server that can be cut and mended.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Line {
    /// Where it begins: `127.0.0.1:port`.
    pub at: String,
    whole: Arc<watch::Sender<bool>>,
    begun: Arc<AtomicUsize>,
}

impl Line {
    /// A line to `host:port`.
    #[expect(clippy::disallowed_methods, reason = "ends with the test")]
    pub async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let whole = Arc::new(watch::Sender::new(true));
        let begun = Arc::new(AtomicUsize::new(0));
        let (target, state, count) = (target.to_owned(), whole.clone(), begun.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (target, mut state) = (target.clone(), state.subscribe());
                tokio::spawn(async move {
                    let through = async {
                        let mut near = near;
                        let mut far = TcpStream::connect(target).await?;
                        copy_bidirectional(&mut near, &mut far).await
                    };
                    // Cut, both ends see that the other is gone.
                    tokio::select! {
                        _ = state.wait_for(|whole| !whole) => {}
                        _ = through => {}
                    }
                });
            }
        });
        Self { at, whole, begun }
    }

    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub fn mend(&self) {
        self.whole.send_replace(true);
    }

    /// How many connections were begun, in vain or not.
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }
}
