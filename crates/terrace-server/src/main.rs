//! The program `terrace`. Everything is in the library half, where tests reach it.

use std::process::ExitCode;

/// Small values come and go on every thread; the C library's allocator spends a tenth of a write on that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    terrace_server::cli::main()
}
