//! Work on another runtime, so that the task that waits for it stays free for others.

use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// Does work on `runtime`, or here if there is none. It ends when this is dropped.
///
/// For handshakes: their arithmetic takes longer than anything else on a connection, so that a crowd of new clients would hold up those
/// that are connected already.
pub async fn do_on<T: Send + 'static>(
    runtime: Option<&Handle>,
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    let Some(runtime) = runtime else { return work.await };
    let mut tasks = JoinSet::new();
    tasks.spawn_on(work, runtime);
    match tasks.join_next().await.expect("one task was spawned") {
        Ok(done) => done,
        // A crash there is one here.
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        // The runtime is shut down, and this one will be.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn thread() -> Option<String> {
        std::thread::current().name().map(str::to_owned)
    }

    #[tokio::test]
    async fn work_is_done_on_the_runtime_that_is_named() {
        let mut other = tokio::runtime::Builder::new_multi_thread();
        let other = other.worker_threads(1).thread_name("other").enable_all().build().unwrap();
        assert_eq!(do_on(Some(other.handle()), thread()).await.as_deref(), Some("other"));
        assert_eq!(do_on(None, thread()).await, thread().await);
        other.shutdown_background();
    }
}
