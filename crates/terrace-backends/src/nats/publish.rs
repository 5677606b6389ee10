//! Messages to whoever listens: sent past the bucket, which only knows who does.
//!
//! A listener stores a message of its own in the bucket, and answers each that it gets. The publisher asks the bucket
//! who listens, sends, and counts answers. One that does not answer within a second has gone without a word, and is
//! taken from the list.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{StatusCode, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use terrace_store::capability::{Message, Publish, Subscription};
use terrace_store::{BoxFuture, Result};
use tokio::sync::watch;

use super::Nats;
use super::link::{Link, reads, writes};
use crate::remote::Feed;

/// How long an answer may take.
const ANSWERS_IN: Duration = Duration::from_secs(1);

struct Channel {
    link: Arc<Link>,
    /// Where messages come.
    subject: String,
    /// Where it is written that this one listens.
    listed: String,
    id: String,
    messages: Option<Subscriber>,
    /// What came, and is not answered yet.
    taken: Option<async_nats::Message>,
    breaks: watch::Receiver<u64>,
}

impl Channel {
    /// Answers what came, and hands it on. If the call is dropped the next one answers again, which counts once.
    async fn hand_on(&mut self) -> Option<Message> {
        if let Some(publisher) = self.taken.as_ref()?.reply.clone() {
            let answer = Bytes::copy_from_slice(self.id.as_bytes());
            let answers = self.link.with(reads("subscribe"), |session| async move {
                Ok(session.client.publish(publisher, answer).await?)
            });
            // It is counted as gone if that fails, which it is.
            let _ = answers.await;
        }
        self.taken.take().map(|message| Message::Payload(message.payload))
    }

    async fn unlist(&self) {
        let _ = self.link.purge(writes("subscribe"), self.listed.clone(), None).await;
    }
}

impl Feed for Channel {
    type Item = Message;

    fn lagged(&self) -> Message {
        Message::Lagged
    }

    async fn connect(&mut self) -> Result<bool> {
        self.messages = None;
        self.breaks.mark_unchanged();
        let subject = self.subject.clone();
        let listens = self.link.with(reads("subscribe"), |session| async move {
            let messages = session.client.subscribe(subject).await?;
            Link::round_trip(&session.client).await?;
            Ok(messages)
        });
        self.messages = Some(listens.await?);
        self.link.publish(reads("subscribe"), self.listed.clone(), None, Bytes::new(), None).await?;
        Ok(false)
    }

    async fn next(&mut self) -> Option<Vec<Message>> {
        if self.taken.is_none() {
            self.taken = tokio::select! {
                message = self.messages.as_mut()?.next() => Some(message?),
                _ = self.breaks.changed() => return None,
            };
        }
        Some(self.hand_on().await.into_iter().collect())
    }

    /// Reads what the server has sent by the time it answers this.
    async fn drain(&mut self) -> Vec<Message> {
        let mut all = Vec::new();
        self.unlist().await;
        let back = self.link.with(reads("close"), |session| Link::round_trip(&session.client));
        let _ = back.await;
        all.extend(self.hand_on().await);
        let Some(mut messages) = self.messages.take() else { return all };
        while let Some(Some(message)) = at_once(&mut messages).await {
            self.taken = Some(message);
            all.extend(self.hand_on().await);
        }
        all
    }

    async fn leave(&mut self) {
        self.messages = None;
        self.unlist().await;
    }
}

/// The next message if it is here already.
async fn at_once(messages: &mut Subscriber) -> Option<Option<async_nats::Message>> {
    tokio::select! {
        biased;
        message = messages.next() => Some(message),
        () = std::future::ready(()) => None,
    }
}

impl Nats {
    /// Sends a message to those who are listed, and counts them as they answer.
    async fn tell(&self, listed: Vec<String>, subject: String, message: Bytes) -> Result<u64> {
        let mut silent: HashSet<String> = listed.into_iter().collect();
        let told = self.link.with(writes("publish"), |session| async {
            let inbox = session.client.new_inbox();
            let mut answers = session.client.subscribe(inbox.clone()).await?;
            session.client.publish_with_reply(subject, inbox, message).await?;
            let (mut heard, end) = (HashSet::new(), tokio::time::Instant::now() + ANSWERS_IN);
            while !silent.is_empty() {
                match tokio::time::timeout_at(end, answers.next()).await {
                    Ok(Some(answer)) if answer.status == Some(StatusCode::NO_RESPONDERS) => break,
                    Ok(Some(answer)) => {
                        let id = String::from_utf8_lossy(&answer.payload);
                        silent.retain(|listed| listed.rsplit('.').next() != Some(&id));
                        heard.insert(answer.payload.clone());
                    }
                    Ok(None) | Err(_) => break,
                }
            }
            Ok((heard.len() as u64, silent))
        });
        let (count, gone) = told.await?;
        for listed in gone {
            let _ = self.link.purge(writes("publish"), listed, None).await;
        }
        Ok(count)
    }

    /// Sends a message to nobody who is listed.
    async fn call_out(&self, subject: String, message: Bytes) -> Result<u64> {
        let told = self.link.with(writes("publish"), |session| async {
            session.client.publish(subject, message).await?;
            Link::round_trip(&session.client).await?;
            Ok(0)
        });
        told.await
    }
}

impl Publish for Nats {
    fn publish<'a>(&'a self, channel: &'a [u8], message: Bytes) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            self.ready("publish").await?;
            self.life.leaving.settle().await;
            let subjects = &self.link.subjects;
            let listed = self.link.subjects_of(reads("publish"), subjects.listener(channel, "*")).await?;
            match listed.is_empty() {
                true => self.call_out(subjects.message(channel), message).await,
                false => self.tell(listed, subjects.message(channel), message).await,
            }
        })
    }

    fn subscribe<'a>(&'a self, channel: &'a [u8]) -> BoxFuture<'a, Result<Box<dyn Subscription>>> {
        Box::pin(async move {
            self.ready("subscribe").await?;
            let id = super::rows::hex(&crate::remote::holder());
            let feed = Channel {
                link: Arc::clone(&self.link),
                subject: self.link.subjects.message(channel),
                listed: self.link.subjects.listener(channel, &id),
                id,
                messages: None,
                taken: None,
                breaks: self.link.breaks(),
            };
            Ok(Box::new(self.life.listen("nats listener", feed).await?) as Box<dyn Subscription>)
        })
    }
}
