/**
 * A .wast script as commands: the script level of the WebAssembly test suite, modules left as text or bytes for
 * assemble.ts. Values are literal bits; what an assertion expects are patterns.
 *
 *   const commands = parseScript(text)      throws MalformedError where the script is not one
 */
import { MalformedError } from '../src/base/errors.ts';
import { f32Bits, f64Bits, integerBits } from './numbers.ts';
import { head, type List, type Node, readAll, type Text, utf8, word } from './sexpr.ts';

/** A value by its bits; a v128 is one number of 128 bits, lane 0 lowest. */
export type Value =
  | { readonly type: 'i32' | 'i64' | 'f32' | 'f64' | 'v128'; readonly bits: bigint }
  /** A reference: null, the host's number `host`, or something else that is only known not to be null. */
  | { readonly type: 'ref'; readonly heap: string; readonly value: 'null' | 'some' | number };

export type NanPattern = 'canonical' | 'arithmetic';
/** What an assertion wants of one result. */
export type Pattern =
  | { readonly type: 'i32' | 'i64'; readonly bits: bigint }
  | { readonly type: 'f32' | 'f64'; readonly bits: bigint | NanPattern }
  | {
      readonly type: 'v128';
      readonly lane: 8 | 16 | 32 | 64;
      readonly lanes: readonly (bigint | NanPattern)[];
    }
  /** `value` absent: any reference of that kind that is not null. */
  | { readonly type: 'ref'; readonly heap: string; readonly value?: 'null' | number }
  | { readonly type: 'either'; readonly of: readonly Pattern[] };

export type ModuleSource =
  | { readonly form: 'text'; readonly text: string }
  | { readonly form: 'binary'; readonly bytes: Uint8Array }
  | { readonly form: 'quote'; readonly text: string };

export interface Action {
  readonly kind: 'invoke' | 'get';
  /** The module's name in the script, or undefined for the last one. */
  readonly module: string | undefined;
  readonly name: string;
  readonly args: readonly Value[];
}

export type Command = { readonly line: number } & (
  | { readonly kind: 'module'; readonly id: string | undefined; readonly source: ModuleSource }
  | { readonly kind: 'definition'; readonly id: string | undefined; readonly source: ModuleSource }
  | { readonly kind: 'instance'; readonly id: string | undefined; readonly of: string | undefined }
  | { readonly kind: 'register'; readonly as: string; readonly id: string | undefined }
  | { readonly kind: 'action'; readonly action: Action }
  | { readonly kind: 'return'; readonly action: Action; readonly expected: readonly Pattern[] }
  | { readonly kind: 'trap' | 'exhaustion'; readonly action: Action; readonly message: string }
  | { readonly kind: 'exception'; readonly action: Action }
  | {
      readonly kind: 'module-trap' | 'unlinkable' | 'invalid' | 'malformed';
      readonly source: ModuleSource;
      readonly message: string;
    }
  | { readonly kind: 'other'; readonly name: string }
);

const LANES = { i8x16: 8, i16x8: 16, i32x4: 32, i64x2: 64, f32x4: 32, f64x2: 64 } as const;

function float(width: 32 | 64, text: string): bigint | NanPattern {
  if (text === 'nan:canonical' || text === 'nan:arithmetic') return text.slice(4) as NanPattern;
  return width === 32 ? f32Bits(text) : f64Bits(text);
}

class Script {
  readonly #text: string;
  readonly #lineStarts: number[] = [0];

  constructor(text: string) {
    this.#text = text;
    for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) this.#lineStarts.push(i + 1);
  }

  /** The line, from 1, of a place in the text. */
  line(offset: number): number {
    let low = 0;
    let high = this.#lineStarts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.#lineStarts[middle]! <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  }

  commands(): Command[] {
    const nodes = readAll(this.#text);
    const known = nodes.every((n) => /^(module|register|invoke|get|assert_|thread|wait)/.test(head(n)));
    // a script may be the fields of one module without the word for it
    if (!known) return [{ line: 1, kind: 'module', id: undefined, source: this.#fields(nodes) }];
    return nodes.map((n) => this.#command(n as List));
  }

  #fields(nodes: readonly Node[]): ModuleSource {
    const fields = nodes.map((n) => this.#text.slice(n.start, n.end)).join(' ');
    return { form: 'text', text: `(module ${fields})` };
  }

  #command(node: List): Command {
    const line = this.line(node.start);
    const items = node.items;
    const name = head(node);
    switch (name) {
      case 'module':
        return { line, ...this.#module(node) };
      case 'register':
        return { line, kind: 'register', as: utf8(items[1]), id: word(items[2]) || undefined };
      case 'invoke':
      case 'get':
        return { line, kind: 'action', action: this.#action(node) };
      case 'assert_return':
        return {
          line,
          kind: 'return',
          action: this.#action(items[1]),
          expected: items.slice(2).map((n) => this.#pattern(n)),
        };
      case 'assert_exception':
        return { line, kind: 'exception', action: this.#action(items[1]) };
      case 'assert_trap':
        return head(items[1]) === 'module'
          ? { line, kind: 'module-trap', source: this.#source(items[1]), message: utf8(items[2]) }
          : { line, kind: 'trap', action: this.#action(items[1]), message: utf8(items[2]) };
      case 'assert_exhaustion':
        return { line, kind: 'exhaustion', action: this.#action(items[1]), message: utf8(items[2]) };
      case 'assert_unlinkable':
        return { line, kind: 'unlinkable', source: this.#source(items[1]), message: utf8(items[2]) };
      case 'assert_invalid':
        return { line, kind: 'invalid', source: this.#source(items[1]), message: utf8(items[2]) };
      case 'assert_malformed':
        return { line, kind: 'malformed', source: this.#source(items[1]), message: utf8(items[2]) };
      default:
        return { line, kind: 'other', name };
    }
  }

  #module(node: List):
    | { kind: 'module' | 'definition'; id: string | undefined; source: ModuleSource }
    | {
        kind: 'instance';
        id: string | undefined;
        of: string | undefined;
      } {
    const second = word(node.items[1]);
    if (second === 'instance')
      return { kind: 'instance', id: word(node.items[2]) || undefined, of: word(node.items[3]) || undefined };
    const definition = second === 'definition';
    const id = word(node.items[definition ? 2 : 1]);
    return {
      kind: definition ? 'definition' : 'module',
      id: id.startsWith('$') ? id : undefined,
      source: this.#source(node),
    };
  }

  #source(node: Node | undefined): ModuleSource {
    if (node?.kind !== 'list') throw new MalformedError('a module is wanted here', node?.start ?? -1);
    const words = node.items.slice(1, 4).map(word);
    const strings = (): Text[] => node.items.filter((n): n is Text => n.kind === 'string');
    if (words.includes('binary') && !words[0]!.startsWith('('))
      return { form: 'binary', bytes: Buffer.concat(strings().map((s) => s.bytes)) };
    if (words.includes('quote'))
      return { form: 'quote', text: Buffer.concat(strings().map((s) => s.bytes)).toString('utf8') };
    const text = this.#text.slice(node.start, node.end);
    // `definition` is a word of the script, not of the module
    return { form: 'text', text: words[0] === 'definition' ? text.replace('definition', '') : text };
  }

  #action(node: Node | undefined): Action {
    if (node?.kind !== 'list') throw new MalformedError('an action is wanted here', node?.start ?? -1);
    const kind = head(node);
    if (kind !== 'invoke' && kind !== 'get') throw new MalformedError(`not an action: ${kind}`, node.start);
    const named = word(node.items[1]) !== '';
    const rest = node.items.slice(named ? 2 : 1);
    return {
      kind,
      module: named ? word(node.items[1]) : undefined,
      name: utf8(rest[0]),
      args: rest.slice(1).map((n) => this.#value(n)),
    };
  }

  #value(node: Node): Value {
    const pattern = this.#pattern(node);
    switch (pattern.type) {
      case 'v128':
        return { type: 'v128', bits: packLanes(pattern.lanes as bigint[], pattern.lane) };
      case 'ref':
        return { type: 'ref', heap: pattern.heap, value: pattern.value ?? 'some' };
      case 'either':
        throw new MalformedError('an argument has one value', node.start);
      default:
        return { type: pattern.type, bits: pattern.bits as bigint };
    }
  }

  #pattern(node: Node): Pattern {
    const name = head(node);
    const items = (node as List).items;
    const argument = word(items[1]);
    switch (name) {
      case 'i32.const':
        return { type: 'i32', bits: integerBits(argument, 32) };
      case 'i64.const':
        return { type: 'i64', bits: integerBits(argument, 64) };
      case 'f32.const':
        return { type: 'f32', bits: float(32, argument) };
      case 'f64.const':
        return { type: 'f64', bits: float(64, argument) };
      case 'v128.const': {
        const lane = LANES[argument as keyof typeof LANES];
        const read = (n: Node): bigint | NanPattern =>
          argument.startsWith('f') ? float(lane as 32 | 64, word(n)) : integerBits(word(n), lane);
        return { type: 'v128', lane, lanes: items.slice(2).map(read) };
      }
      case 'ref.null':
        return { type: 'ref', heap: argument, value: 'null' };
      case 'either':
        return { type: 'either', of: items.slice(1).map((n) => this.#pattern(n)) };
      default: {
        const heap = /^ref\.(\w+)$/.exec(name)?.[1];
        if (!heap) throw new MalformedError(`not a value: ${name}`, node.start);
        return argument === '' ? { type: 'ref', heap } : { type: 'ref', heap, value: Number(argument) };
      }
    }
  }
}

/** Lanes, lowest first, as one number of 128 bits. */
export function packLanes(lanes: readonly bigint[], width: number): bigint {
  return lanes.reduce((bits, lane, i) => bits | (BigInt.asUintN(width, lane) << BigInt(i * width)), 0n);
}

/** The commands of a script, in order. */
export function parseScript(text: string): Command[] {
  return new Script(text).commands();
}
