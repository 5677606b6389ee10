//! Stand-ins for tests: a clock that stands still, a store that is nothing but the contract, stores that fail, take
//! their time or remember what they were asked, and a network without sockets.

mod clock;
mod flaky;
mod map;
mod map_paths;
mod net;
mod recording;
mod slow;
mod wrapped;

pub use clock::FrozenClock;
pub use flaky::{Fault, Faults, Flaky, When};
pub use map::MapStore;
pub use net::PipeNet;
pub use recording::{Calls, Recorded, Recording};
pub use slow::{Delays, Slow};
pub use wrapped::{Call, Control, Course, Operation, Wrapped};
