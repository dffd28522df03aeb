/** What this process serves to programs, by name: requests come from the core, and answers go back. */
import { EnvironmentError } from '../base/errors.ts';
import type { Notice, Outgoing, ServedPolicy } from '../drivers/served.ts';
import type { ServedAnswer } from '../kernel/ports.ts';

/** Whoever serves an object. */
export interface Serving {
  /** Does what a program asks, or says why not; it does not reject. */
  perform(request: Outgoing): Promise<ServedAnswer>;
  /** It may be about a request to another object. */
  notice(notice: Notice): void;
  /** Nothing more is asked, and nobody waits for what has been asked. */
  over(reason: Error): void;
}

/** What it needs of the host: asking the core, and answering it. */
export interface ServedHost {
  ask(op: string, args: unknown): Promise<unknown>;
  answer(id: number, answer: ServedAnswer): void;
}

export class ServedHere {
  readonly #host: ServedHost;
  readonly #serving = new Map<string, Serving>();

  constructor(host: ServedHost) {
    this.#host = host;
  }

  /** What programs ask of the object of this name goes to `serving` from now on. @throws EnvironmentError name-taken, bad-name */
  async serve(name: string, policy: ServedPolicy, serving: Serving): Promise<void> {
    if (this.#serving.has(name)) throw new EnvironmentError('name-taken', `"${name}" is served already`);
    this.#serving.set(name, serving);
    try {
      await this.#host.ask('serve', { name, policy });
    } catch (error) {
      this.#serving.delete(name);
      throw error;
    }
  }

  /** What is asked of the object fails from now on. `serving`: unless another serves the name by now. */
  async unserve(name: string, serving: Serving): Promise<void> {
    if (this.#serving.get(name) !== serving) return;
    this.#serving.delete(name);
    serving.over(new EnvironmentError('not-served', `"${name}" is not served any more`));
    await this.#host.ask('unserve', { name });
  }

  async request(request: Outgoing): Promise<void> {
    const answer = await this.#serving.get(request.name)?.perform(request);
    if (answer !== undefined) this.#host.answer(request.id, answer);
  }

  notice(notice: Notice): void {
    for (const serving of this.#serving.values()) serving.notice(notice);
  }

  /** The space is closed, or lost. */
  over(reason: Error): void {
    for (const serving of this.#serving.values()) serving.over(reason);
    this.#serving.clear();
  }
}
