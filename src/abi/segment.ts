/**
 * Segments as programs see them: bytes that several domains may have at once, each as far as its capability allows. Mapped,
 * they lie at near addresses from 2 GiB up, where ordinary pointers reach them; what is not mapped, or not to be written, traps as
 * what lies outside of memory. Calls of `KERNEL_MODULE`, which give -errno where they fail:
 *
 *     seg_create(bytes: i64) -> handle             a new segment of zeros; DQUOT beyond the caller's memory
 *     seg_size(handle) -> i64
 *     seg_grow(handle, bytes: i64) -> 0            more bytes, zeros; what is mapped stays mapped (needs `manage`)
 *     seg_map(handle, offset: i64, bytes: i64, rights, near) -> i64
 *                                                  maps a part for reading, with RIGHT.write also for writing, at the near address
 *                                                  (a multiple of 64 KiB), or at one of the kernel's choice for 0; the offset is a multiple
 *                                                  of 4096 (needs `read` and `map`, and `write`)
 *     seg_unmap(near) -> 0                         ends the mapping that begins there
 *     seg_seal(handle) -> 0                        nobody ever writes it again (needs `manage`)
 *     seg_freeze(handle) -> 0                      nobody but the caller writes it until it thaws it, closes the handle or ends. When
 *                                                  this returns, nobody can (needs `manage`); BUSY where another has done so
 *     seg_thaw(handle) -> 0
 *     seg_copy(handle) -> handle                   a copy: 64 KiB are copied when one of the two first writes there; it is charged as
 *                                                  any segment of its size (needs `read`)
 *     seg_read(handle, offset: i64, pointer, bytes) -> bytes      copies to memory, fewer at the end (needs `read`)
 *     seg_write(handle, offset: i64, pointer, bytes) -> bytes     copies from memory; all or nothing (needs `write`)
 *
 * NOTCAPABLE where the capability lacks a right, ROFS for what is sealed, BUSY for what another keeps frozen, NOSPC where the
 * space is full, NOTSUP for mapping into a program without windows (one of 64-bit addresses, or alone in its process).
 *
 * To share is to pass a capability. A mapping is good as long as the capability that it was made with: once that is revoked,
 * the next access of anyone to it traps.
 */
export {};
