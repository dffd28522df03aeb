/** Shared memory in the hands of whoever embeds a space. */
import type { Host } from '../cli/host.ts';
import { apart } from './bytes.ts';
import { Capability, SOURCE } from './capability.ts';
import { type Abortable, unlessAborted } from './signal.ts';

/**
 * A segment: bytes that programs share, mapped (`SpawnOptions.map`) or by a capability. What is read is durable, and so is what was
 * written when the promise resolves. It lives while anybody has it: this process, a program, a sturdy reference.
 */
export class Segment extends Capability {
  readonly #host: Host;

  /** @internal */
  constructor(host: Host, id: number) {
    super(host, id);
    this.#host = host;
  }

  /** @internal */
  static async make(host: Host, init: number | Uint8Array): Promise<Segment> {
    return new Segment(
      host,
      (await host.segment({
        what: 'make',
        init: typeof init === 'number' ? init : apart(init),
      })) as number,
    );
  }

  /**
   * The segment that a capability is to, such as one of `Space.restore` or one that a procedure gave: the same held capability, let go with either.
   * What it is shows when it is used: no-capability, where that is no segment.
   */
  static from(capability: Capability): Segment {
    return new Segment(Capability.hostOf(capability), capability[SOURCE].id);
  }

  /** Bytes. @throws EnvironmentError no-capability: it was revoked; not-held */
  size({ signal }: Abortable = {}): Promise<number> {
    return unlessAborted(
      signal,
      this.#host.segment({ what: 'size', id: this[SOURCE].id }),
    ) as Promise<number>;
  }

  /** A copy of at most `length` bytes from `offset` on; fewer where it ends. @throws EnvironmentError as `size` */
  read(offset = 0, length = Number.MAX_SAFE_INTEGER, { signal }: Abortable = {}): Promise<Uint8Array> {
    return unlessAborted(
      signal,
      this.#host.segment({ what: 'read', id: this[SOURCE].id, offset, length }),
    ) as Promise<Uint8Array>;
  }

  /**
   * Puts bytes there. Aborted, they may be written all the same. @throws EnvironmentError bad-argument: they are not all inside;
   * not-writable: it is sealed, or a program has frozen it; and as `size`
   */
  async write(bytes: Uint8Array, offset = 0, { signal }: Abortable = {}): Promise<void> {
    return unlessAborted(
      signal,
      this.#host.segment({ what: 'write', id: this[SOURCE].id, offset, bytes: apart(bytes) }),
    ) as Promise<void>;
  }
}
