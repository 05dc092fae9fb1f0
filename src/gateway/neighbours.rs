//! What a core has in common with the others of its node, and what it tells them unasked.

use std::sync::Arc;

use super::Message;
use crate::net::mailbox::{MESSAGES_MAX, Post};
use crate::net::places::{Bell, Registry};
use crate::net::spread::Spread;
use crate::routing::view::Cooldown;

/// Messages in a core's mailbox beside which it is told what it can do without: the other half is for what must arrive.
pub const OFFERED_MAX: usize = MESSAGES_MAX / 2;

/// See the module.
#[derive(Clone)]
pub struct Neighbours {
    /// The mailboxes of all cores, by index.
    pub posts: Arc<[Post<Message>]>,
    /// Who fetches tokens; `None`: nobody does.
    pub tokens: Option<Post<Message>>,
    /// The count of each core's connections.
    pub spread: Spread,
    /// The places of providers that limit them.
    pub places: Arc<Registry>,
}

impl Neighbours {
    /// Of a node with these cores.
    pub fn new(posts: Arc<[Post<Message>]>) -> Self {
        let others = Arc::clone(&posts);
        let bell: Bell = Arc::new(move |core, ticket| {
            // To a core that has ended: its request has left the line, or is about to.
            let _ended = others.get(usize::from(core)).map(|post| post.insist(Message::Place { ticket }));
        });
        let (spread, places) = (Spread::new(posts.len()), Arc::new(Registry::new(bell)));
        Self { posts, tokens: None, spread, places }
    }

    /// Tells every core but `own` of a key's cooldown. One whose mailbox is half full, or that has ended, is passed over: it
    /// learns of it by its own request.
    pub(super) fn tell(&self, own: u16, cooldown: Cooldown) {
        let others = self.posts.iter().enumerate().filter(|(core, _)| *core != usize::from(own));
        for (_, post) in others {
            let _passed_over = post.offer(Message::Cooldown(cooldown), OFFERED_MAX);
        }
    }
}
