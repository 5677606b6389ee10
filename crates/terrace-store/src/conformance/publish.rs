//! Messages to whoever listens now.

use bytes::Bytes;

use super::Subject;
use super::threads::within;
use super::trial::Trial;
use crate::capability::{Message, Publish, Subscription};
use crate::error::ErrorKind;

/// All of this file.
pub async fn all(subject: &dyn Subject) {
    messages_reach_all_who_listen_in_order(subject).await;
    a_slow_listener_is_told_that_it_lagged(subject).await;
    a_closed_store_ends_its_subscriptions(subject).await;
}

fn publisher<'a>(t: &'a Trial<'_>) -> &'a dyn Publish {
    match t.store.as_publish() {
        Some(publish) => publish,
        None => t.broken("it published when it was opened first, and does not now"),
    }
}

async fn publish(t: &Trial<'_>, channel: &[u8], message: &'static str) -> u64 {
    t.done(publisher(t).publish(channel, Bytes::from_static(message.as_bytes())).await)
}

async fn subscribe(t: &Trial<'_>, channel: &[u8]) -> Box<dyn Subscription> {
    t.done(publisher(t).subscribe(channel).await)
}

async fn expect(t: &Trial<'_>, subscription: &mut Box<dyn Subscription>, expected: &'static str) {
    let expected = Some(Some(Message::Payload(Bytes::from_static(expected.as_bytes()))));
    t.equal(within(subscription.next()).await, expected);
}

/// Each listener gets each message of its channel.
pub async fn messages_reach_all_who_listen_in_order(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a message that nobody listens to reaches nobody");
    t.equal(publish(&t, b"a", "lost").await, 0);
    t.rule("messages reach all who listen to their channel, in order, and nobody else");
    let mut one = subscribe(&t, b"a").await;
    let mut two = subscribe(&t, b"a").await;
    let mut other = subscribe(&t, b"").await;
    t.equal(publish(&t, b"a", "1").await, 2);
    t.equal(publish(&t, b"", "to the other").await, 1);
    t.equal(publish(&t, b"a\0", "to nobody").await, 0);
    t.equal(publish(&t, b"a", "").await, 2);
    for subscription in [&mut one, &mut two] {
        expect(&t, subscription, "1").await;
        expect(&t, subscription, "").await;
    }
    expect(&t, &mut other, "to the other").await;
    t.rule("who stops listening is not counted");
    drop(one);
    t.equal(publish(&t, b"a", "2").await, 1);
    t.rule("dropping the wait for a message loses nothing");
    drop(two.next());
    expect(&t, &mut two, "2").await;
}

/// 1,024 are kept for sure; where some are dropped, it shows.
pub async fn a_slow_listener_is_told_that_it_lagged(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("1,024 unread messages are kept, and where some are dropped the listener is told so");
    for messages in [1_023_u32, 20_000] {
        let mut slow = subscribe(&t, b"a").await;
        for n in 0..messages {
            let message = Bytes::copy_from_slice(&n.to_be_bytes());
            t.equal(t.done(publisher(&t).publish(b"a", message).await), 1);
        }
        let _ = publish(&t, b"a", "end").await;
        let (mut told, mut lagged, mut last) = (0, 0, None);
        loop {
            match within(slow.next()).await.flatten() {
                Some(Message::Lagged) => {
                    lagged += 1;
                    // Where the latest are dropped, the end was among them.
                    if told >= 1_023 {
                        let _ = publish(&t, b"a", "end").await;
                    }
                }
                Some(Message::Payload(end)) if end == "end" => break,
                Some(Message::Payload(message)) => {
                    t.holds(last < Some(message.clone()), "a message came after a later one");
                    (told, last) = (told + 1, Some(message));
                }
                None => t.broken("a message does not come"),
            }
        }
        t.holds(told >= 1_023, format_args!("only {told} messages were kept"));
        t.equal(lagged > 0, told < messages);
    }
}

/// The end of the store is the end of the stream.
pub async fn a_closed_store_ends_its_subscriptions(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a subscription of a closed store ends, and a closed store takes no message");
    let mut subscription = subscribe(&t, b"a").await;
    t.done(t.store.close().await);
    t.equal(within(subscription.next()).await, Some(None));
    t.refused(publisher(&t).publish(b"a", Bytes::new()).await, ErrorKind::Closed);
    t.refused(publisher(&t).subscribe(b"a").await.map(|_| ()), ErrorKind::Closed);
}
