/**
 * Programs as objects: the right to make domains of one. The object keeps the program's hash; the loaded module itself is
 * of the moment, found by what the kernel has met, and after a restart by who has the programs.
 */
import { OBJECT, RIGHTS_ALL } from '../../abi/objects.ts';
import type { Space } from '../../space/index.ts';
import type { LoadedModule } from '../program.ts';
import { Objects } from './objects.ts';

const HASH_BYTES = 32;
/** What may be done with a program: making domains of it, and passing that on. */
export const PROGRAM_RIGHTS = RIGHTS_ALL;

export class Programs {
  readonly #space: Space;
  readonly #objects: Objects;
  /** Those that the kernel has met, as long as somebody else keeps them. */
  readonly #met = new Map<string, WeakRef<LoadedModule>>();
  /** Those there is an object of, by its address. */
  readonly #kept = new Map<number, LoadedModule>();

  constructor(space: Space, objects: Objects) {
    this.#space = space;
    this.#objects = objects;
    objects.onEnd(OBJECT.program, (object) => {
      this.#kept.delete(object);
      space.heap.free(objects.a(object));
    });
  }

  /** The hashes that there are objects of in a space without a kernel. */
  static hashes(space: Space): string[] {
    const objects = new Objects(space);
    const living = [...objects.all()].filter((at) => objects.kind(at) === OBJECT.program);
    return living.map((at) => textOf(space, objects.a(at)));
  }

  /** The hashes that there are objects of. */
  hashes(): string[] {
    return [...new Set([...this.#kept.values()].map(({ hash }) => hash))];
  }

  /** The kernel has met a program: it may be asked for again. */
  met(module: LoadedModule): void {
    // Of a domain that has ended no more than the hash may be known.
    if ('evidence' in module && module.alone === undefined) this.#met.set(module.hash, new WeakRef(module));
  }

  /** A new object for a program, held by nobody. @throws SpaceFullError with nothing changed */
  create(module: LoadedModule): number {
    const { heap } = this.#space;
    const hash = heap.allocBytes(
      Uint8Array.from({ length: HASH_BYTES }, (_, i) =>
        Number.parseInt(module.hash.slice(2 * i, 2 * i + 2), 16),
      ),
    );
    let object: number;
    try {
      object = this.#objects.create(OBJECT.program, hash);
    } catch (error) {
      heap.free(hash);
      throw error;
    }
    this.#kept.set(object, module);
    return object;
  }

  /** The program of an object; undefined where it is not at hand. */
  find(object: number): LoadedModule | undefined {
    const module =
      this.#kept.get(object) ?? this.#met.get(textOf(this.#space, this.#objects.a(object)))?.deref();
    if (module !== undefined) this.#kept.set(object, module);
    return module;
  }

  /** After a restart: keeps the programs there are objects of, as far as they are at hand. */
  recover(source: (hash: string) => LoadedModule | undefined): void {
    for (const object of this.#objects.all()) {
      if (this.#objects.kind(object) !== OBJECT.program) continue;
      const module = source(textOf(this.#space, this.#objects.a(object)));
      if (module !== undefined) this.#kept.set(object, module);
    }
  }
}

function textOf(space: Space, at: number): string {
  return Array.from(space.readBytes(at, HASH_BYTES), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
