use super::*;

#[test]
fn grace_passes_when_those_pinned_before_it_have_gone_on() {
    let readers = Readers::new();
    assert!(readers.passed(&mut readers.grace().unwrap()));
    let outer = readers.pin();
    let mut grace = readers.grace().unwrap();
    assert!(!readers.passed(&mut grace) && readers.is_pinned());
    drop(readers.pin());
    assert!(!readers.passed(&mut grace), "an inner pin ends nothing");
    drop(outer);
    let _later = readers.pin();
    assert!(readers.passed(&mut grace), "a later pin is not waited for");
}

#[test]
fn far_threads_have_lines_of_their_own() {
    let places: Vec<_> = (FIRST as u32..FIRST as u32 * 8).map(place).collect();
    assert_eq!(places[0], (0, 0));
    let expected = (0..3).flat_map(|block| (0..FIRST << block).map(move |place| (block, place)));
    assert!(places.iter().copied().eq(expected));
    let readers = Readers::new();
    let barrier = std::sync::Barrier::new(100);
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let pin = readers.pin();
                barrier.wait();
                pin.token().count_hit();
                pin.token().count_miss();
                assert!(readers.is_pinned());
            });
        }
    });
    assert_eq!(readers.counts(), (100, 100));
    assert!(readers.passed(&mut readers.grace().unwrap()));
}

#[test]
fn a_thread_that_is_ending_still_reads() {
    struct Last<'a>(&'a Readers);
    impl Drop for Last<'_> {
        fn drop(&mut self) {
            self.0.pin().token().count_hit();
        }
    }
    thread_local!(static LAST: std::cell::RefCell<Option<Last<'static>>> = const { std::cell::RefCell::new(None) });
    static READERS: OnceLock<Readers> = OnceLock::new();
    let readers = READERS.get_or_init(Readers::new);
    for _ in 0..10 {
        std::thread::spawn(move || {
            LAST.with(|last| *last.borrow_mut() = Some(Last(readers)));
            drop(readers.pin());
        })
        .join()
        .unwrap();
    }
    assert_eq!(readers.counts(), (10, 0));
    assert!(readers.passed(&mut readers.grace().unwrap()));
}
