//! One read for all who ask at the same time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;

/// How long whoever asks first waits for others: the targets of a pass begin together.
const MOMENT: Duration = Duration::from_millis(5);

/// Reads of one kind in one account and region, each of some objects. Those that are asked for within a moment are made
/// as one.
///
/// Nobody is answered with what was read before he asked: once a read is under way it takes nobody else on board, and
/// nothing is kept.
#[derive(Debug)]
pub(crate) struct Gather<T> {
    open: Mutex<Option<Arc<Batch<T>>>>,
}

#[derive(Debug)]
struct Batch<T> {
    wanted: Mutex<BTreeSet<String>>,
    /// `None` once it has failed.
    read: OnceCell<Option<Arc<T>>>,
}

impl<T> Default for Gather<T> {
    fn default() -> Self {
        Self { open: Mutex::default() }
    }
}

impl<T> Gather<T> {
    /// What a read of at least these objects shows.
    ///
    /// # Errors
    /// Those of the read. One that fails for all is made again by each alone: what is wrong may be another's.
    pub(crate) async fn read<E, R>(&self, wanted: &[String], read: impl Fn(Vec<String>) -> R) -> Result<Arc<T>, E>
    where
        R: Future<Output = Result<T, E>>,
    {
        let batch = self.board(wanted);
        let mut failed = None;
        // If whoever asks for all is dropped halfway, the next of them does it.
        let shared = batch.read.get_or_init(|| async {
            tokio::time::sleep(MOMENT).await;
            match read(self.depart(&batch)).await {
                Ok(shown) => Some(Arc::new(shown)),
                Err(error) => {
                    failed = Some(error);
                    None
                }
            }
        });
        match (shared.await, failed) {
            (Some(shown), _) => Ok(Arc::clone(shown)),
            (None, Some(error)) => Err(error),
            (None, None) => read(wanted.to_vec()).await.map(Arc::new),
        }
    }

    fn board(&self, wanted: &[String]) -> Arc<Batch<T>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Batch { wanted: Mutex::default(), read: OnceCell::new() });
        let batch = Arc::clone(open.get_or_insert_with(new));
        batch.wanted.lock().unwrap_or_else(PoisonError::into_inner).extend(wanted.iter().cloned());
        batch
    }

    /// Closes a batch, and answers all that it is to read.
    fn depart(&self, batch: &Arc<Batch<T>>) -> Vec<String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was closed by somebody who was dropped then is not the open one.
        if open.as_ref().is_some_and(|open| Arc::ptr_eq(open, batch)) {
            *open = None;
        }
        batch.wanted.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test]
    async fn who_asks_at_once_is_answered_at_once() {
        let (gather, reads) = (Gather::default(), AtomicUsize::new(0));
        let read = |wanted: Vec<String>| {
            let number = reads.fetch_add(1, Ordering::Relaxed);
            async move { Ok::<_, ()>((number, wanted)) }
        };
        let wishes = [names(&["b"]), names(&["a", "b"]), names(&["c"])];
        for (number, answer) in join_all(wishes.iter().map(|wish| gather.read(wish, read))).await.iter().enumerate() {
            assert_eq!(**answer.as_ref().unwrap(), (0, names(&["a", "b", "c"])), "wish {number}");
        }
        // Nothing is kept: the next one reads anew.
        assert_eq!(*gather.read(&wishes[0], read).await.unwrap(), (1, names(&["b"])));
    }

    /// The invariant: a read that began before somebody asked is no answer to him.
    #[tokio::test]
    async fn a_read_that_is_under_way_takes_nobody_on_board() {
        let (gather, reads) = (Gather::default(), AtomicUsize::new(0));
        let (begun, go) = (tokio::sync::Semaphore::new(0), tokio::sync::Semaphore::new(0));
        let slow = |_| async {
            let number = reads.fetch_add(1, Ordering::Relaxed);
            begun.add_permits(1);
            go.acquire().await.unwrap().forget();
            Ok::<_, ()>(number)
        };
        let wish = names(&["a"]);
        let late = async {
            begun.acquire().await.unwrap().forget();
            let answer = gather.read(&wish, slow);
            go.add_permits(2);
            answer.await
        };
        let (early, late) = tokio::join!(gather.read(&wish, slow), late);
        assert_eq!((*early.unwrap(), *late.unwrap()), (0, 1));
    }

    #[tokio::test]
    async fn what_fails_for_all_is_asked_for_alone() {
        let gather = Gather::default();
        let read = |wanted: Vec<String>| async move {
            if wanted.iter().any(|name| name == "gone") { Err(wanted) } else { Ok(wanted) }
        };
        let wishes = [names(&["a"]), names(&["gone"]), names(&["b"])];
        let answers = join_all(wishes.iter().map(|wish| gather.read(wish, read))).await;
        // Whoever asked for all has the error of all.
        assert_eq!(answers[0].as_ref().unwrap_err(), &names(&["a", "b", "gone"]));
        assert_eq!(answers[1].as_ref().unwrap_err(), &names(&["gone"]));
        assert_eq!(**answers[2].as_ref().unwrap(), names(&["b"]));
    }

    #[tokio::test]
    async fn who_is_dropped_leaves_nobody_waiting() {
        let gather = Gather::default();
        let forever = |_| std::future::pending::<Result<Vec<String>, ()>>();
        let [wish, other] = [names(&["a"]), names(&["b"])];
        let mut first = Box::pin(gather.read(&wish, forever));
        let second = gather.read(&other, |wanted| async move { Ok::<_, ()>(wanted) });
        assert!(tokio::time::timeout(20 * MOMENT, first.as_mut()).await.is_err());
        let mut second = Box::pin(second);
        // It reads by itself: the other's read had begun before it asked.
        assert_eq!(*second.as_mut().await.unwrap(), other);
        drop(first);
        let mut first = Box::pin(gather.read(&wish, forever));
        let mut second = Box::pin(gather.read(&other, |wanted| async move { Ok::<_, ()>(wanted) }));
        // Both are of one batch, which the first is to read, and does not.
        assert!(futures_util::poll!(first.as_mut()).is_pending() && futures_util::poll!(second.as_mut()).is_pending());
        assert!(tokio::time::timeout(20 * MOMENT, first.as_mut()).await.is_err());
        drop(first);
        assert_eq!(*second.await.unwrap(), names(&["a", "b"]));
    }
}
