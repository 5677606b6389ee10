//! Sweeps: what is due first goes first, in one transaction that nobody else writes beside.

use mysql_async::Transaction;
use mysql_async::prelude::Queryable;
use terrace_store::{Result, Swept};

use super::Mysql;
use super::link::{AsyncAlone, Met, writes};

/// How many rows are removed while others wait.
const TOGETHER: usize = 1_000;

impl Mysql {
    pub(super) async fn sweep_once(&self, limit: usize) -> Result<Swept> {
        self.ready("sweep").await?;
        let mut swept = Swept::default();
        loop {
            let left = limit - usize::try_from(swept.expired + swept.floors).unwrap_or(limit).min(limit);
            let part =
                self.link.alone(writes("sweep"), &self.lock(), self.sweep_of(left.min(TOGETHER))).await?;
            swept.expired += part.expired;
            swept.floors += part.floors;
            swept.more = part.more;
            if !part.more || left <= TOGETHER {
                return Ok(swept);
            }
        }
    }

    fn sweep_of(&self, limit: usize) -> Sweep {
        // The same rows each time: nobody changes them meanwhile.
        let due = "FROM {p}_entries WHERE ends <> 0 AND ends <= ? ORDER BY ends, head, hash LIMIT ?";
        let sql = |text: &str| self.sql(&text.replace("{due}", due));
        Sweep {
            due: sql("SELECT COUNT(*) FROM (SELECT 1 {due}) AS d"),
            entries: [
                sql("INSERT INTO {p}_tombs SELECT head, hash, version, {forget} {due} \
                     ON DUPLICATE KEY UPDATE version = VALUES(version), ends = VALUES(ends)")
                .replace("{forget}", &self.life.floor_deadline().to_string()),
                sql(
                    "UPDATE {p}_amounts a JOIN (SELECT space, COUNT(*) AS n, SUM(size) AS b FROM (SELECT space, size {due}) \
                     AS d GROUP BY space) AS s ON s.space = a.space SET a.count = a.count - s.n, a.bytes = a.bytes - s.b",
                ),
                sql("DELETE {due}"),
            ],
            empty: sql("DELETE FROM {p}_amounts WHERE count = 0"),
            floors: ["tombs", "floors"].map(|table| {
                let range = format!("FROM {{p}}_{table} WHERE ends <= ? ORDER BY ends LIMIT ?");
                (
                    sql(&format!("SELECT COUNT(*) FROM (SELECT 1 {range}) AS d")),
                    sql(&format!("DELETE {range}")),
                )
            }),
            now: self.life.wall_ms(),
            by: self.life.floor_now(),
            limit: limit as u64,
        }
    }
}

struct Sweep {
    due: String,
    entries: [String; 3],
    empty: String,
    /// For each table of floors: how many are due, and their removal.
    floors: [(String, String); 2],
    now: u64,
    by: u64,
    limit: u64,
}

impl AsyncAlone<Swept> for Sweep {
    async fn run(self, transaction: &mut Transaction<'_>) -> Result<Met<Swept>, mysql_async::Error> {
        let mut swept = Swept::default();
        let due: Option<u64> = transaction.exec_first(self.due, (self.now, self.limit + 1)).await?;
        swept.expired = due.unwrap_or(0).min(self.limit);
        swept.more = due.unwrap_or(0) > self.limit;
        if swept.expired > 0 {
            for statement in self.entries {
                transaction.exec_drop(statement, (self.now, swept.expired)).await?;
            }
            transaction.query_drop(self.empty).await?;
        }
        for (due, removal) in self.floors {
            let left = self.limit - swept.expired - swept.floors;
            let due: Option<u64> = transaction.exec_first(due, (self.by, left + 1)).await?;
            let over = due.unwrap_or(0).min(left);
            swept.more |= due.unwrap_or(0) > left;
            if over > 0 {
                transaction.exec_drop(removal, (self.by, over)).await?;
                swept.floors += over;
            }
        }
        Ok(Ok(swept))
    }
}
