/** The calls on segments (abi/segment.ts). */
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT } from '../../abi/objects.ts';
import { SEGMENT_TRANSFER_MAX_BYTES } from '../../base/limits.ts';
import type { Caller } from '../caller.ts';
import type { KernelCalls } from '../calls.ts';
import type { Core } from '../core.ts';
import type { Domain } from '../domain.ts';

/** What a handle of a segment stands for, with the capability: what is left of it when others are looked up. */
interface Segment {
  readonly object: number;
  readonly rights: number;
  readonly capability: number;
  readonly turn: number;
}

type Act = (segment: Segment, domain: Domain) => number;
/** Does something with the segment at a handle, for which these rights are needed; gives what it gives, or -errno. */
type On = (handle: number, rights: number, act: Act) => number;

export function segmentCalls(core: Core): KernelCalls {
  const on: On = (handle, rights, act) => {
    const domain = core.caller();
    const found = core.kinds.find(handle, rights, OBJECT.segment);
    return typeof found === 'number' ? found : act({ ...found }, domain);
  };
  return { ...objectCalls(core, on), ...bytesCalls(core, on) };
}

function objectCalls(core: Core, on: On): KernelCalls {
  const { segments, windows } = core;
  return {
    seg_create: {
      type: 'I=i',
      call: (_, bytes: bigint) => {
        const size = number(bytes);
        return size < 0 ? -ERRNO.INVAL : segments.create(core.caller(), size);
      },
    },
    seg_size: {
      type: 'i=I',
      call: (_, handle: number) => BigInt(on(handle, 0, ({ object }) => segments.size(object))),
    },
    seg_grow: {
      type: 'iI=i',
      call: (_, handle: number, bytes: bigint) =>
        on(handle, RIGHT.manage, ({ object }) => segments.grow(object, number(bytes))),
    },
    seg_map: {
      type: 'iIIii=I',
      call: (_, handle: number, offset: bigint, bytes: bigint, rights: number, near: number) => {
        const wanted = RIGHT.read | RIGHT.map | (rights & RIGHT.write);
        const writable = (rights & RIGHT.write) !== 0;
        const map = (segment: Segment, domain: Domain): number =>
          windows.map(domain, {
            ...segment,
            ...{ offset: number(offset), bytes: number(bytes), writable, near: near >>> 0 },
          });
        return BigInt(on(handle, wanted, map));
      },
    },
    seg_unmap: { type: 'i=i', call: (_, near: number) => windows.unmap(core.caller(), near >>> 0) },
    seg_seal: {
      type: 'i=i',
      call: (_, handle: number) =>
        on(handle, RIGHT.manage, ({ object }) => {
          segments.seal(object);
          return 0;
        }),
    },
    seg_freeze: {
      type: 'i=i',
      call: (_, handle: number) =>
        on(handle, RIGHT.manage, ({ object }, domain) => segments.freeze(object, domain, handle)),
    },
    seg_thaw: {
      type: 'i=i',
      call: (_, handle: number) => on(handle, 0, ({ object }, domain) => segments.thaw(object, domain)),
    },
    seg_copy: {
      type: 'i=i',
      call: (_, handle: number) =>
        on(handle, RIGHT.read, ({ object }, domain) => segments.copy(domain, object)),
    },
  };
}

function bytesCalls({ segments }: Core, on: On): KernelCalls {
  return {
    seg_read: {
      type: 'iIii=i',
      call: (caller: Caller, handle: number, offset: bigint, pointer: number, length: number) =>
        on(handle, RIGHT.read, ({ object }) => {
          const [from, bytes] = [number(offset), length >>> 0];
          if (from < 0 || bytes > SEGMENT_TRANSFER_MAX_BYTES) return -ERRNO.INVAL;
          const to = caller.range(pointer, bytes, true);
          return to < 0 ? -ERRNO.FAULT : segments.read(object, from, to, bytes);
        }),
    },
    seg_write: {
      type: 'iIii=i',
      call: (caller: Caller, handle: number, offset: bigint, pointer: number, length: number) =>
        on(handle, RIGHT.write, ({ object, rights }, domain) => {
          const [to, bytes] = [number(offset), length >>> 0];
          if (to < 0 || bytes > SEGMENT_TRANSFER_MAX_BYTES || to + bytes > segments.size(object))
            return -ERRNO.INVAL;
          const bad = segments.mayWrite(object, domain, rights);
          if (bad !== 0) return bad;
          // The address is asked for when that part has its own bytes: making them may move what is mapped.
          const missing = segments.prepare(object, to, bytes);
          if (missing !== 0) return missing;
          const from = caller.range(pointer, bytes);
          if (from < 0) return -ERRNO.FAULT;
          segments.write(object, to, from, bytes);
          return bytes;
        }),
    },
  };
}

/** An i64 as a number, -1 for one that is negative or too large to be of use. */
function number(value: bigint): number {
  return value >= 0n && value < 1n << 52n ? Number(value) : -1;
}
