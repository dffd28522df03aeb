/**
 * Clients that follow a domain, as the core sees them: a sink whose bytes travel by way of the owner and count as
 * written when the client says it has taken them, and an input that is fed from there.
 */
import { ERRNO } from '../abi/errno.ts';
import type { InputFlow } from '../drivers/input.ts';
import type { Sink } from '../drivers/sink.ts';
import type { FromCore } from './messages.ts';
import type { CoreAttachment, CoreClient } from './operations.ts';

class Client implements CoreClient {
  readonly #id: number;
  readonly #post: (message: FromCore) => void;
  domain = -1;
  attachment: CoreAttachment | undefined;
  #writing: ((result: number) => void) | undefined;
  #bytes = 0;
  #gone = false;
  #data: ((bytes: Uint8Array) => void) | undefined;
  #end: (() => void) | undefined;
  /** What was typed before the domain was fed from here. */
  #early: Uint8Array[] = [];

  constructor(id: number, post: (message: FromCore) => void) {
    this.#id = id;
    this.#post = post;
  }

  sink(stderr: boolean): Sink {
    return {
      terminal: false,
      write: (bytes) => {
        if (this.#gone) return -ERRNO.PIPE;
        this.#bytes = bytes.length;
        this.#post({ kind: 'output', client: this.#id, stderr, bytes: bytes.slice() });
        return new Promise((resolve) => {
          this.#writing = resolve;
        });
      },
      close: () => {},
    };
  }

  readonly input: InputFlow = {
    kind: 'flow',
    terminal: false,
    start: (data, end) => {
      this.#data = data;
      this.#end = end;
      for (const bytes of this.#early.splice(0)) this.typed(bytes);
    },
    // The inbox takes what comes; a client that types faster than that is slowed by nobody.
    pause: () => {},
    resume: () => {},
    close: () => {
      this.#data = undefined;
    },
  };

  typed(bytes: Uint8Array): void {
    if (this.#data === undefined) this.#early.push(bytes);
    else if (bytes.length === 0) this.#end?.();
    else this.#data(bytes);
  }

  taken(): void {
    const resolve = this.#writing;
    this.#writing = undefined;
    resolve?.(this.#bytes);
  }

  gone(): void {
    this.#gone = true;
    this.attachment?.unfeed();
    this.attachment?.detach();
    const resolve = this.#writing;
    this.#writing = undefined;
    resolve?.(-ERRNO.PIPE);
  }
}

export class CoreClients {
  readonly #clients = new Map<number, Client>();
  readonly #post: (message: FromCore) => void;
  readonly #changed: () => void;

  constructor(post: (message: FromCore) => void, changed: () => void) {
    this.#post = post;
    this.#changed = changed;
  }

  create(id: number): CoreClient {
    const client = new Client(id, this.#post);
    this.#clients.set(id, client);
    return client;
  }

  /** The client follows a domain now. */
  attached(id: number, domain: number, attachment: CoreAttachment): void {
    const client = this.#clients.get(id);
    if (client === undefined) return;
    client.domain = domain;
    client.attachment = attachment;
  }

  follows(domain: number): boolean {
    return [...this.#clients.values()].some((client) => client.domain === domain);
  }

  taken(id: number): void {
    this.#clients.get(id)?.taken();
    this.#changed();
  }

  input(id: number, bytes: Uint8Array): void {
    this.#clients.get(id)?.typed(bytes);
    this.#changed();
  }

  /** @param taking it is still to say that it has taken a piece, and is detached once more then */
  detach(id: number, taking: boolean): void {
    const client = this.#clients.get(id);
    if (taking) {
      client?.attachment?.unfeed();
      return;
    }
    this.#clients.delete(id);
    client?.gone();
    this.#changed();
  }
}
