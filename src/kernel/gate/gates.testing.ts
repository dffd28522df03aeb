/**
 * For tests only: a system whose domains have been granted each other under their own names, and programs for it.
 */
import { ERRNO } from '../../abi/errno.ts';
import { program, TestSystem } from '../kernel.testing.ts';
import type { Kernel, KernelOptions } from '../kernel.ts';
import type { LoadedModule } from '../program.ts';
import type { Answer } from '../turns.ts';

export class GateSystem extends TestSystem {
  /** What the host was answered, by ticket. */
  readonly answers: Map<number, Answer>;
  /** Pairs "caller callee" that are not granted any more. */
  readonly revoked = new Set<string>();

  constructor(options: Partial<KernelOptions> = {}) {
    const answers = new Map<number, Answer>();
    super({ ...options, onAnswer: (ticket, answer) => answers.set(ticket, answer) });
    this.answers = answers;
    this.#grant(this.kernel);
  }

  override crash(): void {
    super.crash();
    this.#grant(this.kernel);
  }

  /** Every domain may call every other, under its name. */
  #grant(kernel: Kernel): void {
    kernel.core.granted = (caller, module, procedure) => {
      if (this.revoked.has(`${caller.name} ${module}`)) return ERRNO.REVOKED;
      const domain = kernel.find(module);
      if (domain < 0) return this.#known.has(module) ? ERRNO.GONE : null;
      return { domain, procedure };
    };
  }
  readonly #known = new Set<string>();

  override add(name: string, module: LoadedModule, more: object = {}): number {
    this.#known.add(name);
    return super.add(name, module, more);
  }
}

export { program };
