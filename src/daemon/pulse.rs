//! How others feel whether the loop lives.

use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Asked for, never kept up: an idle loop sleeps, and that is no sign of death. Whoever wants to know wakes it and
/// waits for its next turn. Any thread may.
#[derive(Debug, Default)]
pub struct Pulse {
    asked: Notify,
    beats: watch::Sender<()>,
}

impl Pulse {
    /// The loop turns.
    pub(super) fn beat(&self) {
        self.beats.send_replace(());
    }

    /// Somebody wants to know. Dropped halfway, the question stands.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Whether the loop turns within so much time.
    pub async fn is_felt(&self, patience: Duration) -> bool {
        let mut beats = self.beats.subscribe();
        self.asked.notify_one();
        timeout(patience, beats.changed()).await.is_ok_and(|felt| felt.is_ok())
    }
}
