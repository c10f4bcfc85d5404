//! A program's start without Rust's own preparations, which a program that lives for milliseconds notices: std asks the C library
//! for the main thread's stack, which reads and parses `/proc/self/maps` for that, and maps a second stack for the message that
//! the first has overflowed.
//!
//! What of them matters is done here: descriptors 0, 1 and 2 are open, SIGPIPE is an error of write(2), and what was printed is
//! written at the end.

use std::{
    ffi::{CStr, OsStr, OsString, c_char, c_int},
    io::{self, Write},
    os::unix::ffi::OsStrExt,
    sync::OnceLock,
};

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
        extern "C" fn main(
            count: ::std::ffi::c_int,
            arguments: *const *const ::std::ffi::c_char,
        ) -> ::std::ffi::c_int {
            // SAFETY: the C library calls this with as many arguments as it says, which stay for as long as the program runs.
            unsafe { $crate::program::run($run, count, arguments) }
        }
    };
}

static ARGUMENTS: OnceLock<Vec<OsString>> = OnceLock::new();

/// The program's arguments, its own name first: those of `std` are told only to a `main` of Rust's, but for glibc.
pub fn arguments() -> &'static [OsString] {
    ARGUMENTS.get_or_init(|| std::env::args_os().collect())
}

/// Runs a program; for [`program!`].
///
/// # Safety
/// `arguments` has `count` strings that end with NUL and stay.
pub unsafe fn run(program: fn() -> u8, count: c_int, arguments: *const *const c_char) -> i32 {
    // SAFETY: as the caller says.
    let of_c = (0..count.max(0) as usize).map(|at| unsafe { CStr::from_ptr(*arguments.add(at)) });
    let _ = ARGUMENTS.set(of_c.map(|argument| OsStr::from_bytes(argument.to_bytes()).to_owned()).collect());
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
