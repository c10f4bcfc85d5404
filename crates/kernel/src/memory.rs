//! How much address space and memory the C library's allocator keeps for itself.

/// Bounds the number of the allocator's arenas (mallopt(3), `M_ARENA_MAX`). By default glibc makes up to eight for each
/// processor, each of which keeps freed memory to itself; a daemon with many short tasks grows by tens of megabytes from it.
///
/// Without effect on C libraries that have no arenas.
pub fn limit_arenas(most: i32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only changes parameters of the allocator, under its own lock.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, most);
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = most;
}
