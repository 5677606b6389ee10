//! The program `terrace`. Everything is in the library half, where tests reach it; but for the allocator, which is the
//! program's alone to choose.

mod allocator;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: allocator::BySize = allocator::BySize;

fn main() -> ExitCode {
    allocator::return_large_blocks();
    terrace_server::cli::main()
}
