/** The space: memory, frames, heap, records, segments. Import from here. */
export { SpaceFullError } from './errors.ts';
export { HAVE, type Have } from './framelists.ts';
export { Frames, OWNER, OWNER_VOLATILE } from './frames.ts';
export { Heap } from './heap.ts';
export { forgetLoaded, putLoaded, shareable, takeLoaded } from './loaded.ts';
export type { DirtyPages } from './marks.ts';
export * from './records.ts';
export { SEGMENT_MAX_BYTES, Segments } from './segments.ts';
export { type PageImage, Space, type SpaceOptions } from './space.ts';
export { ROOT, SUPERBLOCK_ADDRESS, Superblock } from './superblock.ts';
export { RecordTable } from './table.ts';
