//! Asking every core the same, within a time. A core that does not answer is left out, and said.

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::gateway::{LiveStreams, Message};
use crate::net::mailbox::Post;
use crate::telemetry::sample::Sample;

/// The counters of all cores that report them before the deadline.
pub(super) async fn samples(posts: &[Post<Message>], deadline: Instant) -> Vec<Sample> {
    ask_all(posts, Message::Sample, deadline).await
}

/// The streams of all cores that list theirs before the deadline.
pub(super) async fn streams(posts: &[Post<Message>], deadline: Instant) -> LiveStreams {
    let mut all = LiveStreams::default();
    for core in ask_all(posts, Message::Streams, deadline).await {
        all.streams.extend(core.streams);
        all.left_out += core.left_out;
    }
    all
}

/// The keys without a token, as who fetches them says; none, when it does not say in time.
pub(super) async fn lacking(clerk: &Post<Message>, deadline: Instant) -> Vec<String> {
    let asked = ask(clerk, Message::Lacking);
    timeout_at(deadline, asked).await.ok().and_then(Result::ok).unwrap_or_default()
}

async fn ask_all<T>(
    posts: &[Post<Message>],
    question: impl Fn(oneshot::Sender<T>) -> Message,
    deadline: Instant,
) -> Vec<T> {
    let asked: Vec<_> = posts.iter().map(|post| ask(post, &question)).collect();
    let mut answers = Vec::with_capacity(asked.len());
    for (core, receiver) in asked.into_iter().enumerate() {
        match timeout_at(deadline, receiver).await {
            Ok(Ok(answer)) => answers.push(answer),
            Ok(Err(_)) => tracing::warn!(core, "what was gathered lacks a core: it takes no message"),
            Err(_) => tracing::warn!(core, "what was gathered lacks a core: it did not report in time"),
        }
    }
    answers
}

/// A post that refuses drops the sender, which the receiver sees.
fn ask<T>(post: &Post<Message>, question: impl Fn(oneshot::Sender<T>) -> Message) -> oneshot::Receiver<T> {
    let (sender, receiver) = oneshot::channel();
    let _ = post.send(question(sender));
    receiver
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::Driver;
    use crate::net::mailbox::{MESSAGES_MAX, Mailbox, mailbox};
    use crate::telemetry::cells::Cells;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    /// A core that reports its counters.
    fn serve(mailbox: Mailbox<Message>) {
        std::thread::spawn(move || {
            let runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().build();
            let served = mailbox.serve(Driver::Epoll, move |message| match message {
                Message::Sample(reply) => reply.send(Cells::new(3).sample()).is_ok(),
                _ => true,
            });
            runtime.unwrap().block_on(served)
        });
    }

    #[test]
    fn a_core_that_does_not_report_is_left_out() {
        run(async {
            let (wedged, _unread) = mailbox().unwrap();
            let (full, _unread_too) = mailbox().unwrap();
            (0..MESSAGES_MAX).for_each(|_| drop(ask(&full, Message::Sample)));
            let (live, served) = mailbox().unwrap();
            serve(served);
            let began = Instant::now();
            let samples = samples(&[wedged, full, live], began + Duration::from_millis(200)).await;
            assert_eq!(samples.iter().map(|sample| sample.core).collect::<Vec<_>>(), [3]);
            assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        });
    }
}
