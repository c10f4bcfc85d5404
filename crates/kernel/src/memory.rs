//! How much memory a process keeps for itself: the arenas of the C library's allocator, and pages of its own code.

use std::{ffi::c_void, fs, io};

use rustix::mm::{Advice, madvise};

/// From how many bytes on memory is mapped by itself.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 1 << 20;

/// Bounds the number of the allocator's arenas (mallopt(3), `M_ARENA_MAX`). By default glibc makes up to eight for each
/// processor, each of which keeps freed memory to itself; a daemon with many short tasks grows by tens of megabytes from it.
///
/// What is large is mapped by itself and given back at once: by default glibc takes the size of what was freed last for what is
/// usual, up to 32 MiB, and keeps as much.
///
/// Without effect on C libraries that have no arenas.
pub fn limit_arenas(most: i32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only changes parameters of the allocator, under its own lock.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, most);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TRIM_THRESHOLD, LARGE);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = most;
}

/// Gives back the pages of this process's code. What is used is mapped again, from the page cache: a program maps far more of
/// itself while it starts than it needs afterwards, since the kernel maps the pages around each one that is touched, too.
///
/// # Errors
/// When /proc/self/maps can't be read or the kernel refuses; nothing is lost then.
pub fn give_back_code() -> io::Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    for (start, length) in maps.lines().filter_map(code) {
        // SAFETY: the pages are a file's, mapped privately, executable and not writable. Code is position independent, so the
        // loader has changed none of them, and the next access finds the same bytes in the file, which the kernel lets nobody
        // write while it runs.
        unsafe { madvise(start as *mut c_void, length, Advice::LinuxDontNeed) }?;
    }
    Ok(())
}

/// Where a line of proc_pid_maps(5) has a file's code: address and length in bytes.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let is_code = words.next()? == "r-xp";
    let (_offset, _device, inode) = (words.next()?, words.next()?, words.next()?);
    let number = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (number(start)?, number(end)?);
    (is_code && inode != "0").then_some((start, end.checked_sub(start)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_of_files_is_given_back() {
        let line = "7f5b0ddc0000-7f5b0f323000 r-xp 007bf000 fe:00 15826952                   /usr/bin/minke";
        assert_eq!(code(line), Some((0x7f5b_0ddc_0000, 0x0156_3000)));
        for line in [
            "7f5b0f323000-7f5b0f43e000 r--p 01d21000 fe:00 15826952 /usr/bin/minke",
            "7f5b0f323000-7f5b0f43e000 rwxp 01d21000 fe:00 15826952 /usr/bin/minke",
            "7fff3a1d1000-7fff3a1d3000 r-xp 00000000 00:00 0 [vdso]",
            "",
        ] {
            assert_eq!(code(line), None, "{line}");
        }
    }

    #[test]
    fn a_process_goes_on_with_less() {
        let resident = || {
            let statm = fs::read_to_string("/proc/self/statm").unwrap();
            statm.split(' ').nth(2).unwrap().parse::<usize>().unwrap()
        };
        let before = resident();
        give_back_code().unwrap();
        assert!(resident() <= before);
    }
}
