//! A program's start without Rust's own preparations, which a program that lives for milliseconds notices: std asks the C library
//! for the main thread's stack, which reads and parses `/proc/self/maps` for that, and maps a second stack for the message that
//! the first has overflowed.
//!
//! What of them matters is done here: descriptors 0, 1 and 2 are open, SIGPIPE is an error of write(2), and what was printed is
//! written at the end.

use std::io::{self, Write};

use rustix::{
    fs::{Mode, OFlags},
    io::{Errno, fcntl_getfd},
    stdio,
};

use crate::sys;

/// Makes `$run`, a function that returns the exit code, what the C library calls as `main`. For a crate that is `no_main`.
#[macro_export]
macro_rules! program {
    ($run:path) => {
        #[expect(unsafe_code, reason = "the C library calls a function of this name")]
        // SAFETY: no other function of the program is called main, and this is the signature that the C library calls.
        #[unsafe(no_mangle)]
        extern "C" fn main(_: ::std::ffi::c_int, _: *const *const ::std::ffi::c_char) -> ::std::ffi::c_int {
            $crate::program::run($run)
        }
    };
}

/// Runs a program; for [`program!`].
pub fn run(program: fn() -> u8) -> i32 {
    if let Err(error) = open_standard_descriptors() {
        // Where they are missing there may be nobody to tell.
        let _ = writeln!(io::stderr(), "open /dev/null: {error}");
        return 1;
    }
    sys::ignore_broken_pipes();
    let code = program();
    let _ = io::stdout().flush();
    code.into()
}

/// What is opened next must not become a standard stream.
fn open_standard_descriptors() -> io::Result<()> {
    let standard = [stdio::stdin(), stdio::stdout(), stdio::stderr()];
    while standard.iter().any(|descriptor| fcntl_getfd(descriptor) == Err(Errno::BADF)) {
        // The lowest that is free.
        std::mem::forget(rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty())?);
    }
    Ok(())
}
