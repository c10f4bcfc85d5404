//! Giving back the pages of this program's own code that it has used once and needs no more.
//!
//! Making a container runs through most of the program; waiting for its end through very little of it. The pages
//! are the page cache's and shared by all supervisors, so this frees no copy of them, but it does free
//! their mappings (resident size is counted by these, and so are page tables) a thousand times.

use std::ffi::c_void;

/// Unmaps all pages of this program's code and constants; those that are used again are mapped
/// again from the page cache, for about a microsecond per 64 KiB.
pub fn unmap_unused() {
    // SAFETY: the callback matches the declared type and keeps no pointer it is given.
    unsafe { libc::dl_iterate_phdr(Some(unmap_object), std::ptr::null_mut()) };
}

/// Called for each loaded object: of a static program, itself (and the kernel's vdso).
unsafe extern "C" fn unmap_object(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    _data: *mut c_void,
) -> libc::c_int {
    // SAFETY: the C library passes a valid description, whose headers stay mapped.
    let (base, headers) = unsafe {
        let info = &*info;
        (info.dlpi_addr, std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)))
    };
    for header in headers.iter().filter(|header| is_never_written(header.p_type, header.p_flags)) {
        let (start, end) = whole_pages(base + header.p_vaddr, header.p_memsz);
        if start < end {
            // SAFETY: the range is whole pages of a segment that is mapped from a file and never written, not even by
            // relocation, so each page reads the same when it is mapped again.
            unsafe { libc::madvise(start as *mut c_void, end - start, libc::MADV_DONTNEED) };
        }
    }
    0
}

/// Whether a segment is loaded from the file and stays as it is there.
fn is_never_written(kind: u32, flags: u32) -> bool {
    kind == libc::PT_LOAD && flags & libc::PF_W == 0
}

/// The pages that lie wholly within a segment; a neighbour may share the first and the last.
fn whole_pages(start: u64, length: u64) -> (usize, usize) {
    let page = rustix::param::page_size() as u64;
    let (first, end) = (start.next_multiple_of(page), (start + length) / page * page);
    (first as usize, end as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident_file_kib() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssFile")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn the_program_goes_on_with_fewer_pages() {
        let before = resident_file_kib();
        unmap_unused();
        let after = resident_file_kib();
        assert!(after < before, "{before} KiB before, {after} KiB after");
        assert_eq!("still here".replace("still", "really"), "really here");
    }
}
