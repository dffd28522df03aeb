/** For tests: a segment mapped into a program that has a ring, and its bytes from outside. */
import assert from 'node:assert/strict';
import { RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { WINDOW_BASE } from '../../base/limits.ts';
import type { Domain } from '../domain.ts';
import type { RingUser } from './ring.testing.ts';

/** Bytes of each such segment. */
export const SIZE = 200_000;
export const domainOf = (user: RingUser): Domain => user.system.kernel.core.peek(user.id) as Domain;

/** A segment of the program's, mapped whole. It holds the bytes by a handle of its own, so that what was mapped can be revoked. */
export class Window {
  readonly user: RingUser;
  readonly handle: number;
  near: number;

  constructor(user: RingUser, handle?: number) {
    const { core } = user.system.kernel;
    this.user = user;
    this.handle = handle ?? core.segments.create(domainOf(user), SIZE);
    this.near = this.map(RIGHTS_ALL);
  }

  get object(): number {
    return this.user.system.kernel.core.clists.objectAt(domainOf(this.user), this.handle);
  }
  map(rights: number): number {
    const { core } = this.user.system.kernel;
    const found = core.clists.find(domainOf(this.user), this.handle);
    assert.ok(typeof found !== 'number');
    const writable = (rights & RIGHT.write) !== 0;
    const wanted = { ...found, offset: 0, bytes: SIZE, writable, near: 0 };
    const near = core.windows.map(domainOf(this.user), wanted);
    assert.ok(near >= WINDOW_BASE, String(near));
    return near;
  }
  unmap(near = this.near): void {
    assert.equal(this.user.system.kernel.core.windows.unmap(domainOf(this.user), near), 0);
  }
  write(offset: number, data: string | Uint8Array): number {
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data;
    const { system } = this.user;
    system.space.writeBytes(system.kernel.core.segments.address(this.object) + offset, bytes);
    return bytes.length;
  }
  text(offset: number, length: number): string {
    const { system } = this.user;
    const at = system.kernel.core.segments.address(this.object) + offset;
    return new TextDecoder().decode(system.space.readBytes(at, length));
  }
}
