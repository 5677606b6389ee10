//! access: who may read, write and list what.
//!
//! Rules grant; what none grants is denied. A rule says to whom (a name, a group, everybody), what (everything, a
//! namespace, the keys of a namespace that begin so, or what is in a group of paths), and which rights. The caller is the
//! [`Identity`] in whose scope the call is polled; a call without one is nobody's, and has what everybody has.
//!
//! Decision: a write needs `write` and nothing else, though its conflict tells whether a key is there; a listing needs
//! `list` on everything that it covers, and `read` as well if it shows values; counting and clearing need the whole
//! namespace. Leases and channels are like keys of the root namespace: granting, ending and publishing is `write`,
//! listening is `read`. Watching is `read` of the prefix. Of the namespaces only those are shown in which the caller may
//! list something. A batch or a transaction is refused whole. What only keeps the store going (`commit`, `flush`, `sweep`,
//! `close`, versions) is open to all.
//!
//! Every denial is counted; an [audit](crate::audit) above records it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use terrace_store::capability::List;
use terrace_store::{BoxFuture, Error, ErrorKind, Identity, Key, Namespace, Result, Store};

use crate::answer::Answer;
use crate::call::{Call, Class, Operation, Subject};
use crate::guard::{Guarded, Policy};

/// To whom a rule grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everybody, nobody included.
    Everybody,
    /// The identity of this name.
    Name(String),
    /// Every identity in this group.
    Group(String),
}

/// What a rule grants rights to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// A namespace.
    Namespace(Namespace),
    /// The keys of a namespace that begin so.
    Prefix(Namespace, Bytes),
    /// A path, and everything in it if it is a group.
    Group(String),
}

/// What one may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// See entries.
    pub read: bool,
    /// Change them.
    pub write: bool,
    /// See which there are.
    pub list: bool,
}

impl Rights {
    /// All of them.
    pub const ALL: Self = Self { read: true, write: true, list: true };
    /// To read and to list.
    pub const LOOK: Self = Self { read: true, write: false, list: true };

    fn cover(self, wanted: Self) -> bool {
        (self.read || !wanted.read) && (self.write || !wanted.write) && (self.list || !wanted.list)
    }
}

/// Grants somebody rights to something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// To whom.
    pub who: Who,
    /// To what.
    pub scope: Scope,
    /// Which.
    pub rights: Rights,
}

impl Rule {
    /// Grants these rights.
    pub fn grant(who: Who, scope: Scope, rights: Rights) -> Self {
        Self { who, scope, rights }
    }

    fn is_for(&self, caller: Option<&Identity>) -> bool {
        match (&self.who, caller) {
            (Who::Everybody, _) => true,
            (_, None) => false,
            (Who::Name(name), Some(caller)) => caller.name() == name,
            (Who::Group(group), Some(caller)) => caller.groups().contains(group),
        }
    }
}

/// A part of the key space: the keys of a namespace that begin so.
#[derive(Clone, Copy)]
struct Area<'a> {
    namespace: &'a [u8],
    prefix: &'a [u8],
    /// Whether it is the one key that is the prefix, and not all that begin so.
    exact: bool,
}

impl Scope {
    fn covers(&self, area: Area<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Namespace(namespace) => namespace.name() == area.namespace,
            Self::Prefix(namespace, prefix) => {
                namespace.name() == area.namespace && area.prefix.starts_with(prefix)
            }
            Self::Group(path) => {
                let Some(rest) = area.prefix.strip_prefix(path.as_bytes()) else { return false };
                let inside =
                    path.is_empty() || rest.first() == Some(&b'/') || (rest.is_empty() && area.exact);
                area.namespace.is_empty() && inside
            }
        }
    }

    /// Whether anything of the namespace is in it.
    fn touches(&self, namespace: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Namespace(own) | Self::Prefix(own, _) => own.name() == namespace,
            Self::Group(_) => namespace.is_empty(),
        }
    }
}

/// A store that lets everybody do what they may.
pub type Access = Guarded<Gate>;

impl Access {
    /// Checks the calls to the store by these rules.
    pub fn over(inner: Arc<dyn Store>, rules: Vec<Rule>) -> Self {
        Self::new(inner, Gate { rules: RwLock::new(rules.into()), denied: AtomicU64::new(0) })
    }
}

/// Checks calls by rules. Made by [`Access::over`].
pub struct Gate {
    rules: RwLock<Arc<[Rule]>>,
    denied: AtomicU64,
}

impl Gate {
    /// Checks by these rules from now on. Calls under way end as they began, and streams go on.
    pub fn set_rules(&self, rules: Vec<Rule>) {
        *self.rules.write() = rules.into();
    }

    /// How many calls were denied.
    pub fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    /// Whether this caller has these rights to one key.
    pub fn allows(&self, caller: Option<&Identity>, key: &Key, wanted: Rights) -> bool {
        allows(&self.rules.read(), caller, of(key), wanted)
    }

    fn check(&self, call: &Call<'_>) -> Result<()> {
        let caller = Identity::current();
        let caller = caller.as_ref();
        let rules = Arc::clone(&self.rules.read());
        if may(&rules, caller, call) {
            return Ok(());
        }
        self.denied.fetch_add(1, Ordering::Relaxed);
        Err(Error::new(ErrorKind::Denied, call.operation.name())
            .because("no rule grants this to the caller; ask who keeps the rules")
            .with("caller", caller.map_or("nobody", Identity::name).escape_debug()))
    }
}

fn of(key: &Key) -> Area<'_> {
    Area { namespace: key.namespace_name(), prefix: key.bytes(), exact: true }
}

/// Whether each of the rights is granted, by one rule or by several.
fn allows(rules: &[Rule], caller: Option<&Identity>, area: Area<'_>, wanted: Rights) -> bool {
    let mut granted = Rights::default();
    for rule in rules.iter().filter(|rule| rule.is_for(caller) && rule.scope.covers(area)) {
        granted.read |= rule.rights.read;
        granted.write |= rule.rights.write;
        granted.list |= rule.rights.list;
        if granted.cover(wanted) {
            return true;
        }
    }
    false
}

/// The rights to everything, which only rules for everything grant.
fn allows_all(rules: &[Rule], caller: Option<&Identity>, wanted: Rights) -> bool {
    let of_all = |rule: &&Rule| rule.is_for(caller) && rule.scope == Scope::All;
    let granted = rules.iter().filter(of_all).fold(Rights::default(), |granted, rule| Rights {
        read: granted.read || rule.rights.read,
        write: granted.write || rule.rights.write,
        list: granted.list || rule.rights.list,
    });
    granted.cover(wanted)
}

fn wanted(operation: Operation) -> Rights {
    use Operation as On;
    let (read, write, list) = match operation {
        On::List | On::SnapshotList | On::Count | On::Bytes | On::ListGroup => (false, false, true),
        _ if operation.is_write() => (false, true, false),
        _ => (true, false, false),
    };
    Rights { read, write, list }
}

fn may(rules: &[Rule], caller: Option<&Identity>, call: &Call<'_>) -> bool {
    let rights = wanted(call.operation);
    let area = |namespace, prefix, exact| Area { namespace, prefix, exact };
    match call.subject {
        // A transaction and a snapshot are checked by what is done with them, namespaces by what is shown.
        Subject::Store => true,
        _ if call.operation.class() == Class::Upkeep => true,
        Subject::Key(key) => allows(rules, caller, of(key), rights),
        Subject::Keys(keys) => keys.iter().all(|key| allows(rules, caller, of(key), rights)),
        Subject::Writes(writes) => writes.iter().all(|write| allows(rules, caller, of(write.key()), rights)),
        Subject::List(list) => {
            let List { namespace, prefix, keys_only, .. } = list;
            let rights = Rights { read: !keys_only, ..rights };
            allows(rules, caller, area(namespace.name(), prefix, false), rights)
        }
        Subject::Namespace(Some(namespace)) => {
            allows(rules, caller, area(namespace.name(), b"", false), rights)
        }
        Subject::Namespace(None) => allows_all(rules, caller, rights),
        Subject::Prefix(namespace, prefix) => {
            allows(rules, caller, area(namespace.name(), prefix, false), rights)
        }
        Subject::Name(name) => allows(rules, caller, area(b"", name, true), rights),
        Subject::Path(path) => allows(rules, caller, area(b"", path.as_bytes(), true), rights),
    }
}

impl Policy for Gate {
    const LOOKS: bool = true;

    fn shows(&self, namespace: &Namespace) -> bool {
        let caller = Identity::current();
        let grants = |rule: &Rule| {
            rule.rights.list && rule.is_for(caller.as_ref()) && rule.scope.touches(namespace.name())
        };
        self.rules.read().iter().any(grants)
    }

    async fn run<'a, T, M>(&'a self, call: Call<'a>, mut make: M) -> Result<T>
    where
        T: Answer + 'a,
        M: FnMut() -> BoxFuture<'a, Result<T>> + Send + 'a,
    {
        self.check(&call)?;
        make().await
    }
}

#[cfg(test)]
mod tests {
    use terrace_store::capability::{Batch, Iterate, Write};
    use terrace_store::fakes::MapStore;
    use terrace_store::{Entry, PutOptions, StoreExt, block_on};

    use super::*;

    fn space(name: &str) -> Namespace {
        Namespace::new(name).unwrap()
    }

    /// Ann owns her prefix of `orders`, the staff sees all of it, everybody may read `public` and the group `docs`.
    fn store() -> (Access, Arc<MapStore>) {
        let map = Arc::new(MapStore::default());
        for (namespace, key) in [("orders", "ann/1"), ("orders", "bob/1"), ("public", "p"), ("", "docs/a")] {
            let _ = block_on(map.put_with(&Key::new(namespace, key).unwrap(), "v")).unwrap();
        }
        let orders = space("orders");
        let ann = Scope::Prefix(orders.clone(), "ann/".into());
        let rules = vec![
            Rule::grant(Who::Name("ann".into()), ann, Rights::ALL),
            Rule::grant(Who::Group("staff".into()), Scope::Namespace(orders), Rights::LOOK),
            Rule::grant(
                Who::Everybody,
                Scope::Namespace(space("public")),
                Rights { read: true, ..Rights::default() },
            ),
            Rule::grant(Who::Everybody, Scope::Group("docs".into()), Rights::LOOK),
            Rule::grant(Who::Name("root".into()), Scope::All, Rights::ALL),
        ];
        (Access::over(map.clone(), rules), map)
    }

    fn granted<T>(result: Result<T>) -> bool {
        match result {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::Denied => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// What the caller may do: read and write each key, list `orders` and the part of it that is Ann's.
    fn rights(store: &Access, caller: Option<Identity>) -> String {
        let doing = async {
            let mut told = String::new();
            let mut tell = |may: bool| told.push(if may { '+' } else { '-' });
            for (namespace, key) in
                [("orders", "ann/1"), ("orders", "bob/1"), ("public", "p"), ("", "docs/a"), ("", "docsx")]
            {
                let key = Key::new(namespace, key).unwrap();
                tell(granted(store.get(&key).await));
                tell(granted(store.put_with(&key, "w").await));
            }
            let all = List::all(space("orders"));
            tell(granted(store.list_all(&all).await));
            tell(granted(store.list_all(&List { prefix: "ann/".into(), ..all }).await));
            tell(granted(Batch::clear(store, Some(&space("public"))).await));
            told
        };
        match caller {
            Some(caller) => block_on(caller.scope(doing)),
            None => block_on(doing),
        }
    }

    #[test]
    fn everybody_may_do_what_a_rule_grants_and_nothing_else() {
        let (store, _) = store();
        let ann = Identity::new("ann", [""; 0]);
        let staff = Identity::new("sue", ["staff"]);
        let both = Identity::new("ann", ["staff"]);
        let root = Identity::new("root", [""; 0]);
        assert_eq!(rights(&store, None), "----+-+------");
        assert_eq!(rights(&store, Some(ann)), "++--+-+----+-");
        assert_eq!(rights(&store, Some(staff)), "+-+-+-+---++-");
        assert_eq!(rights(&store, Some(both)), "+++-+-+---++-");
        assert_eq!(rights(&store, Some(root)), "+".repeat(13));
        assert!(store.policy().denied() > 20);
    }

    #[test]
    fn a_batch_with_one_write_that_is_denied_is_denied_whole() {
        let (store, map) = store();
        let write = |name: &str| {
            Write::Put(Key::new("orders", name).unwrap(), Entry::new("w"), PutOptions::default())
        };
        let batch = vec![write("ann/2"), write("bob/2")];
        let ann = Identity::new("ann", [""; 0]);
        let denied = block_on(ann.clone().scope(Batch::apply(&store, batch))).unwrap_err();
        assert_eq!(denied.kind(), ErrorKind::Denied);
        assert!(denied.to_string().contains("ann"), "{denied}");
        assert!(!block_on(map.exists(&Key::new("orders", "ann/2").unwrap())).unwrap());
        assert!(block_on(ann.scope(Batch::apply(&store, vec![write("ann/2")]))).is_ok());
    }

    #[test]
    fn namespaces_show_to_who_may_list_in_them() {
        let (store, _) = store();
        let shown = |caller: Identity| {
            let mut shown = block_on(caller.scope(Iterate::namespaces(&store))).unwrap();
            shown.sort();
            shown
        };
        assert_eq!(shown(Identity::new("nobody", [""; 0])), [space("")]);
        assert_eq!(shown(Identity::new("ann", [""; 0])), [space(""), space("orders")]);
        assert_eq!(shown(Identity::new("root", [""; 0])).len(), 3);
    }

    #[test]
    fn groups_of_paths_are_granted_with_what_is_in_them() {
        let (store, _) = store();
        let paths = store.as_paths().unwrap();
        assert!(granted(block_on(paths.list_group("docs"))));
        assert!(granted(block_on(paths.kind("docs/a"))));
        assert!(!granted(block_on(paths.kind("docsx"))));
        assert!(!granted(block_on(paths.list_group(""))));
        assert!(!granted(block_on(paths.make_group("docs/b"))));
    }

    #[test]
    fn other_rules_hold_from_the_next_call_on() {
        let (store, _) = store();
        let key = Key::new("public", "p").unwrap();
        assert!(granted(block_on(store.get(&key))));
        store.policy().set_rules(Vec::new());
        assert!(!granted(block_on(store.get(&key))));
        assert!(block_on(store.flush()).is_ok() && block_on(store.close()).is_ok());
    }
}
