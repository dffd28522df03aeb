/** Objects that are served in TypeScript, as whoever serves them has them in hand: programs know no difference. */
import type { Host } from '../cli/host.ts';
import { type Grantable, SOURCE } from './capability.ts';
import type { ServedObject } from './served-object.ts';
import { Serving } from './serving.ts';

/** How an object is served. */
export interface ServeOptions {
  /**
   * What becomes of requests that a restart found unanswered: they are asked 'again' (the default), with `context.again`,
   * or 'fail', with GONE for the program.
   */
  readonly unanswered?: 'again' | 'fail';
}

/**
 * An object being served, to be granted to programs. Disposing it ends it: what is asked of it fails with GONE until its name is
 * served again. When the space is closed, or the process dies, it does not end: programs wait until it is served again.
 */
export class Served implements Grantable, AsyncDisposable {
  /** @internal */
  readonly [SOURCE]: { readonly kind: 'served'; readonly name: string };
  readonly #host: Host;
  readonly #serving: Serving;

  /** @internal */
  private constructor(host: Host, name: string, serving: Serving) {
    this.#host = host;
    this.#serving = serving;
    this[SOURCE] = { kind: 'served', name };
  }

  /** @internal */
  static async begin(host: Host, name: string, object: ServedObject, options: ServeOptions): Promise<Served> {
    const serving = new Serving(object, (text) => host.problem(text));
    await host.served.serve(name, options.unanswered ?? 'again', serving);
    return new Served(host, name, serving);
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    // With the space it has been let go already.
    await this.#host.served.unserve(this[SOURCE].name, this.#serving).catch(() => {});
  }
}
