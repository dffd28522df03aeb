/**
 * Reads the S-expressions of a .wast script: lists, atoms and strings with their places in the text, so that the text
 * of a module can be cut out and given to an assembler as it stands. It knows nothing of WebAssembly.
 *
 *   const forms = readAll(text)     throws MalformedError with the offset (in UTF-16 units) of what is wrong
 */
import { MalformedError } from '../src/base/errors.ts';

export interface Atom {
  readonly kind: 'atom';
  readonly text: string;
  readonly start: number;
  readonly end: number;
}
export interface Text {
  readonly kind: 'string';
  /** What the escapes stand for; a string of the format is bytes, not always UTF-8. */
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}
export interface List {
  readonly kind: 'list';
  readonly items: readonly Node[];
  readonly start: number;
  readonly end: number;
}
export type Node = Atom | Text | List;

const ESCAPES: Readonly<Record<string, number>> = { t: 9, n: 10, r: 13, '"': 34, "'": 39, '\\': 92 };

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** The next node, or undefined at the end of the text or before a closing parenthesis. */
  next(): Node | undefined {
    this.#skip();
    const c = this.#text[this.#at];
    if (c === undefined || c === ')') return undefined;
    if (c === '(') return this.#list();
    if (c === '"') return this.#string();
    return this.#atom();
  }

  end(): void {
    this.#skip();
    if (this.#at < this.#text.length) throw new MalformedError('a parenthesis too many', this.#at);
  }

  #skip(): void {
    const text = this.#text;
    for (;;) {
      const c = text[this.#at];
      if (c === ' ' || c === '\t' || c === '\n' || c === '\r') this.#at++;
      else if (c === ';' && text[this.#at + 1] === ';') {
        // a line ends at either of the two line feeds
        while (this.#at < text.length && text[this.#at] !== '\n' && text[this.#at] !== '\r') this.#at++;
      } else if (c === '(' && text[this.#at + 1] === ';') this.#comment();
      else return;
    }
  }

  #comment(): void {
    const start = this.#at;
    let depth = 0;
    do {
      const two = this.#text.slice(this.#at, this.#at + 2);
      if (two === '') throw new MalformedError('a comment without end', start);
      if (two === '(;') depth++;
      if (two === ';)') depth--;
      this.#at += two === '(;' || two === ';)' ? 2 : 1;
    } while (depth > 0);
  }

  #list(): List {
    const start = this.#at++;
    const items: Node[] = [];
    for (let node = this.next(); node; node = this.next()) items.push(node);
    if (this.#text[this.#at] !== ')') throw new MalformedError('a list without end', start);
    return { kind: 'list', items, start, end: ++this.#at };
  }

  #atom(): Atom {
    const start = this.#at;
    while (this.#at < this.#text.length && !' \t\n\r()";'.includes(this.#text[this.#at]!)) this.#at++;
    if (this.#at === start) throw new MalformedError('not a token', start);
    return { kind: 'atom', text: this.#text.slice(start, this.#at), start, end: this.#at };
  }

  #string(): Text {
    const start = this.#at++;
    const bytes: number[] = [];
    const encoder = new TextEncoder();
    for (;;) {
      const c = this.#text[this.#at];
      if (c === undefined || c === '\n') throw new MalformedError('a string without end', start);
      if (c === '"') return { kind: 'string', bytes: Uint8Array.from(bytes), start, end: ++this.#at };
      if (c === '\\') this.#escape(bytes);
      else {
        const point = String.fromCodePoint(this.#text.codePointAt(this.#at)!);
        bytes.push(...encoder.encode(point));
        this.#at += point.length;
      }
    }
  }

  #escape(bytes: number[]): void {
    const c = this.#text[this.#at + 1] ?? '';
    const simple = ESCAPES[c];
    if (simple !== undefined) {
      bytes.push(simple);
      this.#at += 2;
      return;
    }
    const unicode = /^\\u\{([0-9a-fA-F_]+)\}/.exec(this.#text.slice(this.#at, this.#at + 16));
    if (unicode) {
      bytes.push(
        ...new TextEncoder().encode(
          String.fromCodePoint(Number.parseInt(unicode[1]!.replaceAll('_', ''), 16)),
        ),
      );
      this.#at += unicode[0].length;
      return;
    }
    const hex = this.#text.slice(this.#at + 1, this.#at + 3);
    if (!/^[0-9a-fA-F]{2}$/.test(hex)) throw new MalformedError('not an escape', this.#at);
    bytes.push(Number.parseInt(hex, 16));
    this.#at += 3;
  }
}

/** Every form of a script, in order. */
export function readAll(text: string): Node[] {
  const reader = new Reader(text);
  const nodes: Node[] = [];
  for (let node = reader.next(); node; node = reader.next()) nodes.push(node);
  reader.end();
  return nodes;
}

/** The keyword a list begins with, or ''. */
export function head(node: Node | undefined): string {
  const first = node?.kind === 'list' ? node.items[0] : undefined;
  return first?.kind === 'atom' ? first.text : '';
}

/** The text of an atom, or '' for anything else. */
export function word(node: Node | undefined): string {
  return node?.kind === 'atom' ? node.text : '';
}

/** The bytes of a string as UTF-8. */
export function utf8(node: Node | undefined): string {
  if (node?.kind !== 'string') throw new MalformedError('a string is wanted here', node?.start ?? -1);
  // a byte order mark is part of a name
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(node.bytes);
}
