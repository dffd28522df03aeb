/**
 * Folders of the host that users grant to programs (`--dir HOST::GUEST`). `grant` makes the object for a domain's
 * table; `object` finds it and what was opened below it again, after restarts too. The folder's state is in the space.
 *
 * What programs read is what the host has, with their own queued writes on top. What they change goes to the host once
 * a checkpoint holding it is durable: writes behind their back, everything else while they wait. See apply.ts for what
 * happens at a crash.
 */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { EnvironmentError } from '../../base/errors.ts';
import type { Driver, HostDirectory, HostFile } from '../../kernel/ports.ts';
import * as at from './at.ts';
import { type CoreOptions, HostCore } from './core.ts';
import { DirectoryObject } from './directory.ts';
import { FileObject } from './file.ts';
import { FILE, FOLDER, READ_ONLY } from './objects.ts';

export type FoldersOptions = Omit<CoreOptions, 'powerSafe'> & { readonly powerSafe?: boolean };

export class HostFolders implements Driver {
  readonly #core: HostCore;

  constructor(options: FoldersOptions) {
    this.#core = new HostCore({ powerSafe: true, ...options });
    this.#core.pump();
  }

  /**
   * Grants a folder to a domain: it goes when the domain is forgotten.
   * @throws EnvironmentError where it is no folder that can be opened
   */
  grant(domain: number, path: string, readOnly: boolean): HostDirectory {
    if (!existsSync('/proc/self/fd')) {
      throw new EnvironmentError('no-proc', 'host folders need Linux with /proc', 'leave --dir out');
    }
    const whole = resolve(path);
    const fd = at.lookAtFolder(whole);
    const stat = fd < 0 ? fd : at.statOf(fd);
    if (typeof stat === 'number') {
      throw new EnvironmentError(
        'no-folder',
        `cannot open the folder ${whole}`,
        'give --dir a folder that exists',
      );
    }
    const init = {
      kind: FOLDER,
      flags: readOnly ? READ_ONLY : 0,
      folder: 0,
      path: at.toBinary(Buffer.from(whole)),
      identity: stat,
      domain,
    };
    const object = this.#core.objects.create(init, fd);
    if (object === undefined) {
      at.close(fd);
      throw new EnvironmentError('space-full', 'the space is full', 'remove programs that ended: perdure rm');
    }
    return new DirectoryObject(this.#core, object);
  }

  /** An object by its id; undefined where it was closed or never was. */
  object(id: number): HostDirectory | HostFile | undefined {
    const object = this.#core.objects.get(id);
    if (object === undefined || object.closed) return undefined;
    return object.kind === FILE
      ? new FileObject(this.#core, object)
      : new DirectoryObject(this.#core, object);
  }

  /** The folders granted to a domain, as the user named them. */
  granted(domain: number): { id: number; path: string; readOnly: boolean }[] {
    return this.#core.objects
      .all()
      .filter((object) => object.kind === FOLDER && object.domain === domain && !object.closed)
      .map((object) => ({
        id: object.id,
        path: Buffer.from(at.fromBinary(object.path)).toString(),
        readOnly: (object.flags & READ_ONLY) !== 0,
      }));
  }

  /** The domain is gone, with everything it had open here. What it wrote still reaches the host. */
  forget(domain: number): void {
    this.#core.forget(domain);
  }

  /** After a restart: volatile domains are gone. What they wrote before the checkpoint still reaches the host. */
  keepOnly(domains: ReadonlySet<number>): void {
    for (const domain of this.#core.domains()) if (!domains.has(domain)) this.#core.forget(domain);
  }

  cut(seq: number): void {
    this.#core.cut(seq);
  }

  durable(seq: number): void {
    this.#core.durable(seq);
  }

  wantsCheckpoint(): boolean {
    return this.#core.waiting;
  }

  settled(): boolean {
    return this.#core.settled;
  }

  close(): Promise<void> {
    return this.#core.shut();
  }
}
