//! No copies: a store or layer that transforms nothing hands on the very buffer it was given.

use bytes::Bytes;

use super::Subject;
use super::trial::{Trial, key};
use crate::entry::Entry;
use crate::store::{Compress, PutOptions};

/// For stores and layers that keep values as they are, in memory. No capability tells these from the others, so
/// [`all`](super::all) does not run it: their own tests call it.
///
/// # Panics
/// If the value that comes out is not at the address of the one that went in.
pub async fn values_keep_their_buffer(subject: &dyn Subject) {
    let t = Trial::open(subject).await;
    t.rule("a store that transforms nothing hands back the very buffer it was given");
    for length in [1, 100, 100_000] {
        for compress in [Compress::Default, Compress::Never] {
            let value = Bytes::from(vec![b'x'; length]);
            let options = PutOptions { compress, ..t.plain() };
            let _ = t.done(t.store.put(&key("a"), Entry::new(value.clone()), options).await);
            let found = t.get(&key("a")).await.map(|entry| (entry.value.as_ptr().addr(), entry.value.len()));
            t.equal(found, Some((value.as_ptr().addr(), length)));
        }
    }
    if t.store.as_iterate().is_some() {
        t.rule("a listing hands out the very buffers too");
        let value = Bytes::from(vec![b'y'; 500]);
        let _ = t.write(&key("a"), Entry::new(value.clone())).await;
        let list = crate::capability::List::all(key("a").namespace());
        let listed = t.done(crate::StoreExt::list_all(&*t.store, &list).await);
        let addresses: Vec<_> = listed.iter().map(|(_, entry)| entry.value.as_ptr().addr()).collect();
        t.equal(addresses, vec![value.as_ptr().addr()]);
    }
}
