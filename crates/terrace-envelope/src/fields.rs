//! What an envelope says about its payload, as the caller gives it and as it comes back.
//!
//! The numbers are in [`Header`], which is `Copy` and the same for writing and reading; only the lists
//! differ, because a writer lends them and a reader finds them in the envelope's own memory.

/// The numbers of an entry. Zero means "none" for every field, and costs no byte for the fields marked
/// *optional*.
///
/// Times are wall-clock milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The entry was deleted: there is no payload, and `version` is the floor that the delete left.
    pub tombstone: bool,
    /// How the payload was encoded. The numbers are given by whoever encodes; 0 is raw bytes.
    pub codec: u8,
    /// A hash of the stable name and schema of the value's type, so that another type is noticed, not
    /// misread.
    pub type_fingerprint: u64,
    /// Orders the writes of one key.
    pub version: u64,
    /// When the value was created.
    pub created_ms: u64,
    /// When the value must no longer be served at all (optional).
    pub expires_ms: u64,
    /// Until when the value counts as fresh; after that it may be served as stale (optional).
    pub fresh_until_ms: u64,
    /// For how many milliseconds without a read the value is kept (optional).
    pub idle_ms: u64,
    /// The invalidation stamp that was captured before the value was loaded; tags, prefixes and namespaces
    /// invalidated after it are newer than the value (optional).
    pub stamp: u64,
    /// The caller's weight for the value; none means that whoever stores it measures it (optional).
    pub weight: u32,
    /// How much the value deserves to be kept, higher is more (optional).
    pub priority: u8,
}

/// Everything that [`seal`](crate::seal) writes besides key and payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// The numbers.
    pub header: Header,
    /// At most [`MAX_TAGS`](crate::MAX_TAGS) tags of at most [`MAX_STRING`](crate::MAX_STRING) bytes.
    pub tags: &'a [&'a [u8]],
    /// The media type of the payload, at most [`MAX_STRING`](crate::MAX_STRING) bytes.
    pub content_type: Option<&'a str>,
    /// At most [`MAX_METADATA`](crate::MAX_METADATA) pairs of name and value, each at most
    /// [`MAX_STRING`](crate::MAX_STRING) bytes. The order is kept: sort a hash map's pairs where equal
    /// entries must become equal bytes.
    pub metadata: &'a [(&'a str, &'a str)],
}

/// What sealing and opening refuse before they allocate anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest payload in bytes, uncompressed. The format itself ends at 4 GiB - 1.
    pub payload: usize,
}

impl Limits {
    /// The limit that holds in practice: the caller's, or the format's where that is less.
    pub(crate) fn payload(self) -> usize {
        self.payload.min(u32::MAX as usize)
    }
}

impl Default for Limits {
    /// A payload of at most 64 MiB.
    fn default() -> Self {
        Self { payload: 64 << 20 }
    }
}
