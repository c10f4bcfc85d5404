//! Running from a copy of the own executable that can't be written through.
//!
//! A container's process has, for an instant, this program as its /proc/self/exe (a container whose entry point is
//! `/proc/self/exe` for longer). Through that link root in the container could overwrite the host's file (CVE-2019-5736). So a
//! program that enters containers first executes itself again from a read-only clone of the mount its file is on, which costs
//! one exec and no copy; where that can't be made, from a sealed copy in memory.

use std::{
    ffi::CString,
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
};

use rustix::fs::{MemfdFlags, SealFlags, StatVfsMountFlags};

use crate::{mount, sys};

/// The program's name as tools show it; the kernel would take it from a descriptor's number.
const NAME: &std::ffi::CStr = c"minke-oci";

/// Executes the program again from where it can't be overwritten, unless it runs from there already.
/// Arguments, environment and descriptors stay.
///
/// # Errors
/// When neither kind of copy can be made.
pub fn ensure() -> io::Result<()> {
    if is_sealed()? {
        // The kernel named the process after the descriptor.
        return Ok(rustix::thread::set_name(NAME)?);
    }
    let copy = read_only_clone().or_else(|_| memory_copy())?;
    let argv: Vec<CString> = crate::program::arguments()
        .iter()
        .map(|arg| CString::new(arg.as_bytes()))
        .collect::<Result<_, _>>()?;
    let envp: Vec<CString> = std::env::vars_os()
        .map(|(name, value)| {
            let mut pair = name.into_vec();
            pair.push(b'=');
            pair.extend(value.into_vec());
            CString::new(pair)
        })
        .collect::<Result<_, _>>()?;
    Err(sys::execveat(copy.as_fd(), &argv, &envp))
}

/// Whether /proc/self/exe is on a read-only mount or a sealed memory file.
fn is_sealed() -> io::Result<bool> {
    if rustix::fs::statvfs("/proc/self/exe")?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(true);
    }
    let file = File::open("/proc/self/exe")?;
    Ok(rustix::fs::fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::WRITE)))
}

/// A detached, read-only mount of the executable's file alone. /proc/self/exe follows it, so opening
/// it for writing is refused whatever the file's permissions are.
fn read_only_clone() -> io::Result<OwnedFd> {
    let clone = mount::clone_path("/proc/self/exe".as_ref(), false)?;
    let attributes = [mount::Attribute::ReadOnly].into_iter().collect();
    mount::set_attributes(&clone, &attributes, false)?;
    Ok(clone)
}

fn memory_copy() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(rustix::fs::memfd_create("minke-oci", flags)?);
    io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&copy, seals)?;
    Ok(copy.into())
}
