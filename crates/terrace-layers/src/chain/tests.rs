use terrace_store::fakes::{Fault, Flaky, FrozenClock, MapStore, Operation as On, Recording};
use terrace_store::{Clock, Condition, StoreExt, block_on};

use super::*;

struct Scene {
    clock: FrozenClock,
    near: Arc<Flaky>,
    middle: Arc<Flaky>,
    far: Arc<Recording>,
    chain: Chain,
}

/// Two local members that take writes, and a remote one that does not.
fn scene(fallback: Fallback) -> Scene {
    let clock = FrozenClock::at_wall_ms(1_000);
    let map = || Arc::new(MapStore::new(Arc::new(clock.clone())));
    let (near, middle) = (Arc::new(Flaky::over(map())), Arc::new(Flaky::over(map())));
    let far = Arc::new(Recording::over(map()));
    let members = vec![
        Member::local("near", near.clone()),
        Member::local("middle", middle.clone()),
        Member::remote("far", far.clone()),
    ];
    let chain = Chain::new(members, fallback).unwrap();
    Scene { clock, near, middle, far, chain }
}

fn key() -> Key {
    Key::new("n", "k").unwrap()
}

fn write(store: &dyn Store, value: &'static str) -> Version {
    block_on(store.put_with(&key(), value)).unwrap().version().unwrap()
}

fn found(chain: &Chain) -> Option<(String, bytes::Bytes)> {
    block_on(chain.find(&key())).unwrap().map(|found| (found.member, found.entry.value))
}

#[test]
fn a_read_goes_down_the_chain_and_says_who_answered() {
    let scene = scene(Fallback::default());
    assert_eq!(found(&scene.chain), None);
    for (store, name) in
        [(&*scene.far as &dyn Store, "far"), (&*scene.middle, "middle"), (&*scene.near, "near")]
    {
        write(store, "v");
        assert_eq!(found(&scene.chain).unwrap().0, name);
        assert!(block_on(scene.chain.exists(&key())).unwrap());
    }
}

#[test]
fn an_error_is_passed_over_unless_nobody_else_has_it() {
    let scene = scene(Fallback::default());
    scene.near.control().inject(Fault::fail(ErrorKind::Network));
    let uncertain = block_on(scene.chain.find(&key())).unwrap_err();
    assert_eq!(uncertain.kind(), ErrorKind::Network);
    assert!(uncertain.to_string().contains("near"), "{uncertain}");
    write(&*scene.far, "v");
    assert_eq!(found(&scene.chain).unwrap().0, "far");
}

#[test]
fn a_chain_goes_on_only_after_what_it_is_set_to() {
    let on_error = scene(Fallback { on_miss: false, on_error: true });
    write(&*on_error.middle, "v");
    assert_eq!(found(&on_error.chain), None);
    on_error.near.control().inject(Fault::fail(ErrorKind::Network));
    assert_eq!(found(&on_error.chain).unwrap().0, "middle");
    let on_miss = scene(Fallback { on_miss: true, on_error: false });
    write(&*on_miss.far, "v");
    assert_eq!(found(&on_miss.chain).unwrap().0, "far");
    on_miss.near.control().inject(Fault::fail(ErrorKind::Network));
    assert!(block_on(on_miss.chain.get(&key())).is_err());
}

#[test]
fn a_write_goes_to_the_first_and_nothing_older_shows_again() {
    let scene = scene(Fallback::default());
    write(&*scene.middle, "old");
    let now = scene.clock.wall_ms();
    let written = block_on(scene.chain.put_with(&key(), "new").ttl_from(now, 10)).unwrap();
    assert!(matches!(written, Written::Stored { replaced: true, .. }));
    assert_eq!(found(&scene.chain).unwrap(), ("near".into(), "new".into()));
    scene.clock.advance_ms(10);
    assert_eq!(found(&scene.chain), None, "the new one ended, and the old one is gone");
    write(&*scene.middle, "old");
    assert!(block_on(scene.chain.remove(&key())).unwrap());
    assert_eq!(found(&scene.chain), None);
    write(&*scene.far, "source");
    scene.far.control().forget();
    assert!(block_on(scene.chain.remove(&key())).unwrap());
    assert_eq!(scene.far.control().count(On::Delete), 0, "it takes no writes");
    assert_eq!(found(&scene.chain).unwrap().0, "far");
}

#[test]
fn conditions_hold_for_what_a_read_would_find() {
    let scene = scene(Fallback::default());
    let put = |condition| {
        let options = PutOptions { condition, ..PutOptions::default() };
        block_on(scene.chain.put(&key(), Entry::new("w"), options)).unwrap()
    };
    let version = write(&*scene.far, "source");
    assert_eq!(put(Condition::Absent), Written::Conflict { current: Some(version) });
    assert_eq!(put(Condition::Match(Version(99))), Written::Conflict { current: Some(version) });
    let Written::Stored { version, replaced: true } = put(Condition::Match(version)) else {
        panic!("refused")
    };
    assert_eq!(found(&scene.chain).unwrap().0, "near");
    let delete =
        |condition| block_on(scene.chain.delete(&key(), DeleteOptions { condition, ..Default::default() }));
    assert!(matches!(delete(Condition::Match(Version(99))).unwrap(), Deleted::Conflict { .. }));
    assert!(matches!(delete(Condition::Match(version)).unwrap(), Deleted::Done { existed: true, .. }));
    let newer = PutOptions { condition: Condition::Newer(Version(1)), ..PutOptions::default() };
    let refused = block_on(scene.chain.put(&key(), Entry::new("w"), newer)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotSupported);
}

#[test]
fn a_selection_leaves_members_out_and_puts_others_first() {
    let scene = scene(Fallback::default());
    for store in [&*scene.far as &dyn Store, &*scene.middle, &*scene.near] {
        write(store, "v");
    }
    let member = |selection| found(&scene.chain.select(selection).unwrap()).unwrap().0;
    assert_eq!(member(Selection { locality: Some(Locality::Remote), ..Selection::default() }), "far");
    let not_near = |member: &Member| member.name != "near";
    assert_eq!(member(Selection { filter: Some(&not_near), ..Selection::default() }), "middle");
    let by_name = |a: &Member, b: &Member| a.name.cmp(&b.name);
    assert_eq!(member(Selection { sort: Some(&by_name), ..Selection::default() }), "far");
    let nobody = |_: &Member| false;
    assert!(scene.chain.select(Selection { filter: Some(&nobody), ..Selection::default() }).is_err());
    let remote =
        scene.chain.select(Selection { locality: Some(Locality::Remote), ..Selection::default() }).unwrap();
    assert_eq!(block_on(remote.put_with(&key(), "w")).unwrap_err().kind(), ErrorKind::Denied);
}

#[test]
fn a_listing_is_that_of_one_member_from_its_first_page_to_its_last() {
    let scene = scene(Fallback::default());
    for n in 0..5_u8 {
        let _ = block_on(scene.near.put_with(&Key::new("n", [n]).unwrap(), "near")).unwrap();
        let _ = block_on(scene.middle.put_with(&Key::new("n", [n, n]).unwrap(), "middle")).unwrap();
    }
    let list = terrace_store::capability::List {
        limit: 2,
        ..terrace_store::capability::List::all(key().namespace())
    };
    let listed = block_on(scene.chain.list_all(&list)).unwrap();
    assert_eq!(listed.len(), 5);
    assert!(listed.iter().all(|(_, entry)| entry.value == "near"));
}

#[test]
fn a_path_is_followed_in_the_first_member_that_has_it() {
    let map = || Arc::new(MapStore::default());
    let (near, far) = (map(), map());
    let chain = Chain::new(
        vec![Member::local("near", near.clone()), Member::remote("far", far.clone())],
        Fallback::default(),
    )
    .unwrap();
    let _ = block_on(far.put_with(&Key::new("", "docs/a").unwrap(), "far")).unwrap();
    let paths = chain.as_paths().unwrap();
    assert_eq!(block_on(paths.list_group("docs")).unwrap(), ["a"]);
    block_on(paths.make_link("latest", "docs/b")).unwrap();
    assert!(
        block_on(near.as_paths().unwrap().kind("latest")).unwrap().is_some(),
        "it is made where writes go"
    );
    let _ = block_on(chain.put_with(&Key::new("", "docs/b").unwrap(), "near")).unwrap();
    assert_eq!(block_on(paths.list_group("docs")).unwrap(), ["b"], "one member's group, not a mixture");
    assert_eq!(block_on(paths.resolve("latest")).unwrap(), "docs/b");
}

#[test]
fn members_have_names_of_their_own() {
    let map = || Arc::new(MapStore::default());
    assert!(Chain::new(Vec::new(), Fallback::default()).is_err());
    let twice = vec![Member::local("a", map()), Member::remote("a", map())];
    assert_eq!(Chain::new(twice, Fallback::default()).err().unwrap().kind(), ErrorKind::Config);
}
