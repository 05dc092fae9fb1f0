//! A core's mailbox: a bounded queue and a doorbell, a socket pair on whose one end the core always has a read pending.
//! Plain data crosses; no waker of a core is ever held by another thread.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use monoio::io::AsyncReadRent;

use super::Driver;

/// Messages that may wait for one core. Rare events: a full box refuses, and the sender tells.
pub const MESSAGES_MAX: usize = 1024;

/// The sending side; any thread may hold one.
#[derive(Debug)]
pub struct Post<M> {
    queue: flume::Sender<M>,
    insisted: flume::Sender<M>,
    bell: Arc<UnixStream>,
}

impl<M> Clone for Post<M> {
    fn clone(&self) -> Self {
        let (queue, insisted) = (self.queue.clone(), self.insisted.clone());
        Self { queue, insisted, bell: Arc::clone(&self.bell) }
    }
}

/// The receiving side, built anywhere, opened on its core.
pub struct Mailbox<M> {
    queue: flume::Receiver<M>,
    /// What must arrive, and is opened first.
    insisted: flume::Receiver<M>,
    bell: UnixStream,
}

/// A mailbox and its post. Errors: no descriptors left.
pub fn mailbox<M>() -> io::Result<(Post<M>, Mailbox<M>)> {
    let (sender, receiver) = flume::bounded(MESSAGES_MAX);
    let (insisted, insisted_on) = flume::unbounded();
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    let post = Post { queue: sender, insisted, bell: Arc::new(near) };
    Ok((post, Mailbox { queue: receiver, insisted: insisted_on, bell: far }))
}

impl<M> Post<M> {
    /// Leaves a message that its sender can do without, and rings; refused while `waiting_max` or more wait, so that there
    /// is room for what must arrive. Errors: as with [`Post::send`].
    pub fn offer(&self, message: M, waiting_max: usize) -> Result<(), M> {
        match self.queue.len() < waiting_max {
            true => self.send(message),
            false => Err(message),
        }
    }

    /// Leaves a message and rings. Errors: the box is full, or its core has ended; the message comes back.
    pub fn send(&self, message: M) -> Result<(), M> {
        self.queue.try_send(message).map_err(flume::TrySendError::into_inner)?;
        self.ring();
        Ok(())
    }

    /// Leaves a message that must arrive, however many wait, and rings: how many there are at a time is the sender's to bound.
    /// Errors: its core has ended; the message comes back.
    pub fn insist(&self, message: M) -> Result<(), M> {
        self.insisted.send(message).map_err(flume::SendError::into_inner)?;
        self.ring();
        Ok(())
    }

    fn ring(&self) {
        // A bell that cannot take another byte is ringing already.
        let _ = (&*self.bell).write(&[1]);
    }
}

impl<M> Mailbox<M> {
    /// Hands each message to `open`, until every post is gone or `open` says stop with `false`.
    pub async fn serve(self, driver: Driver, mut open: impl FnMut(M) -> bool) -> io::Result<()> {
        self.bell.set_nonblocking(driver == Driver::Epoll)?;
        let mut bell = monoio::net::UnixStream::from_std(self.bell)?;
        let mut buffer = vec![0; 64];
        loop {
            let (rung, back) = bell.read(buffer).await;
            buffer = back;
            while let Ok(message) = self.insisted.try_recv().or_else(|_| self.queue.try_recv()) {
                if !open(message) {
                    return Ok(());
                }
            }
            if rung? == 0 {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_arrive_does_so_beside_a_full_box_and_first() {
        let (post, mailbox) = mailbox().unwrap();
        let sent = (0..).take_while(|number| post.send(*number).is_ok()).count();
        assert_eq!((sent, post.offer(0, MESSAGES_MAX)), (MESSAGES_MAX, Err(0)));
        (0..5000).for_each(|number| post.insist(-number).unwrap());
        drop(post);
        let mut opened = Vec::new();
        let runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().build();
        runtime
            .unwrap()
            .block_on(mailbox.serve(Driver::Epoll, |message| {
                opened.push(message);
                true
            }))
            .unwrap();
        assert_eq!(opened, (0..5000).map(|number| -number).chain(0..MESSAGES_MAX as i64).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_is_left_with_a_core_that_has_ended() {
        let (post, mailbox) = mailbox().unwrap();
        drop(mailbox);
        assert_eq!((post.send(1), post.insist(2)), (Err(1), Err(2)));
    }
}
