//! What one thread needs to encode and decode.

use std::cell::Cell;

use terrace_envelope::codec::Coder;

/// It is reused, so that neither allocates once it is warm.
#[derive(Default)]
pub(super) struct Workspace {
    pub(super) coder: Coder,
    pub(super) bytes: Vec<u8>,
}

/// One long value must not leave its size behind in every thread.
const LARGEST_WORKSPACE: usize = 1 << 20;

thread_local! {
    static WORKSPACE: Cell<Workspace> = Cell::default();
}

/// Lends the thread's workspace. A thread that is ending has none any more and gets one for this call.
pub(super) fn with_workspace<T>(work: impl FnOnce(&mut Workspace) -> T) -> T {
    let mut workspace = WORKSPACE.try_with(Cell::take).unwrap_or_default();
    let result = work(&mut workspace);
    if workspace.bytes.capacity() > LARGEST_WORKSPACE {
        workspace.bytes = Vec::new();
    }
    let _ = WORKSPACE.try_with(|kept| kept.set(workspace));
    result
}
