/**
 * Clients that follow programs, on the owner's side: each takes what the core sends one piece after the other, and says when
 * it has (clients.ts is the core's side).
 */
import type { Attachment } from './hosting.ts';
import type { ToCore } from './messages.ts';

/** Takes a piece of what a program wrote; resolves when it is taken. */
export type Output = (stderr: boolean, bytes: Uint8Array) => Promise<void>;

export class Followers {
  readonly #post: (message: ToCore) => void;
  readonly #clients = new Map<number, Output>();
  /** What clients are taking. */
  readonly #taking = new Map<number, Promise<void>>();

  constructor(post: (message: ToCore) => void) {
    this.#post = post;
  }

  /** A client of this number; `forget` where it never comes to follow anything. */
  create(client: number, output: Output): { client: number; attachment: Attachment; forget: () => void } {
    this.#clients.set(client, output);
    const detach = (): void => {
      if (!this.#clients.delete(client)) return;
      // A piece that it is taking counts as taken when it has been, or whoever comes next would see it again.
      const taking = this.#taking.get(client);
      this.#post({ kind: 'detach', client, taking: taking !== undefined });
      void taking?.then(() => this.#post({ kind: 'detach', client, taking: false }));
    };
    const attachment = {
      input: (bytes: Uint8Array): void => this.#post({ kind: 'input', client, bytes }),
      detach,
    };
    return { client, attachment, forget: () => this.#clients.delete(client) };
  }

  /** The core has sent a piece. */
  async output(client: number, stderr: boolean, bytes: Uint8Array): Promise<void> {
    const output = this.#clients.get(client);
    if (output === undefined) return; // It has been detached.
    const taking = output(stderr, bytes).then(
      () => this.#post({ kind: 'taken', client }),
      () => {
        if (this.#clients.delete(client)) this.#post({ kind: 'detach', client, taking: false });
      },
    );
    this.#taking.set(client, taking);
    await taking;
    this.#taking.delete(client);
  }
}
