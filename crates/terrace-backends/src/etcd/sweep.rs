//! Sweeps: what is due by now is asked for, and removed in transactions of its own.

use bytes::Bytes;
use etcd_client::{GetOptions, TxnOp};
use terrace_store::{Key, Result, Swept};

use super::Etcd;
use super::commit::Changes;
use super::link::reads;
use super::rows::{Due, Header, Stamp, part};

/// What may be over.
struct Candidate {
    /// Its row in `x`.
    row: Vec<u8>,
    due: Due,
    ends: u64,
    /// The flat key, or the namespace of a floor.
    what: Vec<u8>,
}

impl Etcd {
    pub(super) async fn sweep_once(&self, limit: usize) -> Result<Swept> {
        self.ready("sweep").await?;
        let mut swept = Swept::default();
        for (due, by) in [
            (Due::Entry, self.life.wall_ms()),
            (Due::Tombstone, self.life.floor_now()),
            (Due::Floor, self.life.floor_now()),
        ] {
            loop {
                let left =
                    limit.saturating_sub(usize::try_from(swept.expired + swept.floors).unwrap_or(limit));
                let together = (self.config.max_txn_ops / 8).min(left.saturating_add(1));
                let candidates = self.candidates(due, by, together).await?;
                let complete = candidates.len() < together;
                let Some((removed, more)) = self.remove(&candidates, left).await? else { continue };
                match due {
                    Due::Entry => swept.expired += removed,
                    Due::Tombstone | Due::Floor => swept.floors += removed,
                }
                swept.more |= more;
                if more {
                    return Ok(swept);
                }
                if complete {
                    break;
                }
            }
        }
        Ok(swept)
    }

    async fn candidates(&self, due: Due, by: u64, limit: usize) -> Result<Vec<Candidate>> {
        let (from, to) = (self.rows.due(due, 0, b""), self.rows.due(due, by.saturating_add(1), b""));
        let range = GetOptions::new().with_range(to).with_limit(limit as i64);
        let ask = vec![TxnOp::get(from, Some(range))];
        let answer = self.link.txn(reads("sweep"), Vec::new(), ask, Vec::new()).await?;
        let candidate = |row: &super::link::Row| {
            let (ends, what) = self.rows.parse_due(row.key())?;
            Some(Candidate { row: row.key().to_vec(), due, ends, what: what.to_vec() })
        };
        Ok(answer.rows.iter().flatten().filter_map(candidate).collect())
    }

    /// Removes those that are over, up to a limit, and says whether there are more. `None` if another process got in
    /// between.
    async fn remove(&self, candidates: &[Candidate], limit: usize) -> Result<Option<(u64, bool)>> {
        if candidates.is_empty() {
            return Ok(Some((0, false)));
        }
        let mut keys = Vec::new();
        let mut read = Vec::new();
        for candidate in candidates {
            let key = match candidate.due {
                Due::Floor => None,
                Due::Entry | Due::Tombstone => Key::from_flat(Bytes::copy_from_slice(&candidate.what)).ok(),
            };
            read.push(match candidate.due {
                Due::Floor => self.rows.floor(&candidate.what),
                Due::Entry | Due::Tombstone => self.rows.head(&candidate.what),
            });
            if let Some(key) = &key {
                read.push(self.rows.amount(key.namespace().flat_prefix(), part(key)));
            }
            keys.push(key);
        }
        let _locks = self.lock_parts(keys.iter().flatten()).await;
        let view = self.view("sweep", read).await?;
        let (mut changes, mut removed, mut more) = (Changes::default(), 0_u64, false);
        for (candidate, key) in candidates.iter().zip(&keys) {
            let row = match candidate.due {
                Due::Floor => self.rows.floor(&candidate.what),
                Due::Entry | Due::Tombstone => self.rows.head(&candidate.what),
            };
            let header = view.header(&row)?;
            let over = header.filter(|(header, _)| {
                header.ends_ms == candidate.ends
                    && (candidate.due == Due::Floor || header.due() == Some(candidate.due))
            });
            match (over, key) {
                // A clear has removed what this was about, or it was written anew.
                (None, _) => changes.remove(candidate.row.clone()),
                _ if removed >= limit as u64 => {
                    more = true;
                    break;
                }
                (Some((header, revision)), Some(key)) if candidate.due == Due::Entry => {
                    let stamp = Stamp::Given(header.version(revision));
                    let ends_ms = self.life.floor_deadline();
                    changes.replace(
                        self,
                        key,
                        Some(header),
                        Header { tombstone: true, stamp, ends_ms, size: 0 },
                    );
                    removed += 1;
                }
                _ => {
                    changes.remove(candidate.row.clone());
                    changes.remove(row.clone());
                    removed += 1;
                }
            }
        }
        if changes.is_empty() {
            return Ok(Some((removed, more)));
        }
        let operations = changes.into_operations(self, &view)?;
        let done = self.commit_over("sweep", &view, operations).await?;
        Ok(done.map(|_| (removed, more)))
    }
}
