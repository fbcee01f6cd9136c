//! Work that outlives whoever asked for it.

use tracing::Instrument;

use crate::Fault;

/// Runs work to its end, also when the request that asked for it is dropped because its caller hung up or died: what is
/// half done at a provider must be finished by the one who holds the lock.
#[expect(
    clippy::disallowed_methods,
    reason = "it ends by itself; what the end of the process cuts off is resumed"
)]
pub async fn to_the_end<T, F>(work: F) -> Result<T, Fault>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    tokio::spawn(work.in_current_span()).await.map_err(Fault::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_ends_though_nobody_waits() {
        let (begin, begun) = tokio::sync::oneshot::channel::<()>();
        let (tell, told) = tokio::sync::oneshot::channel();
        let mut asked = Box::pin(to_the_end(async move {
            begun.await.ok();
            tell.send("done").ok();
        }));
        assert!(futures_util::poll!(&mut asked).is_pending());
        drop(asked);
        begin.send(()).unwrap();
        assert_eq!(told.await, Ok("done"));
    }
}
