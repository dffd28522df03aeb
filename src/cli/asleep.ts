/**
 * Programs that do not go on because this process was not asked to let them (`run` shows one program, and leaves the others
 * where they are). One that is granted to a program that begins, or called, is wanted after all.
 */
import type { DomainStatus, Kernel } from '../kernel/kernel.ts';
import type { ImportGrant } from './types.ts';

export class Asleep {
  readonly #ids = new Set<number>();

  /** It does not go on. One that has nothing to run can be called all the same. */
  put(id: number, kernel: Pick<Kernel, 'stop'>, { state }: Pick<DomainStatus, 'state'>): void {
    if (state !== 'created' && state !== 'idle') kernel.stop(id);
    this.#ids.add(id);
  }

  /** Whether it is asleep; from now on it is not. */
  takes(id: number): boolean {
    return this.#ids.delete(id);
  }

  /** Those that are granted here, which are asleep no longer. */
  take(imports: readonly ImportGrant[], kernel: Pick<Kernel, 'find'>): number[] {
    const names = imports.flatMap(({ from }) =>
      from.kind === 'domain' || from.kind === 'gate' ? [from.name] : [],
    );
    return names.map((name) => kernel.find(name)).filter((id) => this.takes(id));
  }
}
