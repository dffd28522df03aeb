/**
 * Turns the modules of a script into bytes with wabt's text parser. wabt is told not to validate: scripts hold invalid
 * modules on purpose, and refusing those is the engine's work.
 *
 *   const assemble = await assembler()
 *   const bytes = assemble(source)      throws AssembleError for text that is not well formed
 *
 * Two things are done around wabt 1.0.39. Long forms of the reference types it knows are written short, and tables
 * that say they begin with null say nothing. And its JavaScript interface writes an active data segment of a memory other than the first without saying which: the
 * index is found in the text and put in.
 */
import wabt from 'wabt';
import { WAT_FEATURES } from '../guests/build.ts';
import type { ModuleSource } from './script.ts';
import { head, type List, type Node, readAll, word } from './sexpr.ts';
import { skipExpression } from './signatures.ts';

/** wabt does not take this text: because it is wrong, or because wabt does not know the construct. */
export class AssembleError extends Error {
  override name = 'AssembleError';
}

export async function assembler(): Promise<(source: ModuleSource) => Uint8Array> {
  const toolkit = await wabt();
  return (source) => {
    if (source.form === 'binary') return source.bytes;
    const text = source.text
      .replace(/\(ref\s+null\s+(func|extern|exn)\)/g, '$1ref')
      .replace(
        /(\(table(?: \(export "[^"]*"\))?[^()]*\b(?:func|extern)ref) \(ref\.null (?:func|extern)\)/g,
        '$1',
      );
    try {
      // an exact copy: wabt takes a view's whole buffer
      const input = Uint8Array.from(new TextEncoder().encode(text));
      const module = toolkit.parseWat('module.wast', input, WAT_FEATURES);
      try {
        // copied: the buffer belongs to wabt's memory
        return nameMemories(module.toBinary({}).buffer.slice(), text);
      } finally {
        module.destroy();
      }
    } catch (error) {
      throw new AssembleError((error as Error).message.split('\n').slice(0, 3).join(' '));
    }
  };
}

/** The memory of each active data segment, in the order wabt writes segments; undefined for a passive one. */
function segmentMemories(module: List): (number | undefined)[] {
  const names = new Map<string, number>();
  const fields = module.items.filter((n): n is List => n.kind === 'list');
  const segments: (number | undefined)[] = [];
  let count = 0;
  const declare = (field: Node | undefined): void => {
    const id = field?.kind === 'list' ? word(field.items[1]) : '';
    if (id.startsWith('$')) names.set(id, count);
    count++;
  };
  const inner = (field: List, name: string): List | undefined =>
    field.items.find((n): n is List => head(n) === name);
  for (const field of fields) {
    const imported = head(field) === 'import' ? inner(field, 'memory') : undefined;
    if (imported) declare(imported);
    if (head(field) === 'memory') declare(field);
  }
  let own = fields.filter((f) => head(f) === 'import' && inner(f, 'memory')).length;
  for (const field of fields) {
    if (head(field) === 'memory') {
      if (inner(field, 'data')) segments.push(own);
      own++;
    } else if (head(field) === 'data') {
      const use = inner(field, 'memory');
      const active = field.items.some((n) => n.kind === 'list');
      const of = use ? word(use.items[1]) : '0';
      segments.push(active ? (names.get(of) ?? Number(of)) : undefined);
    }
  }
  return segments;
}

function leb(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(value >>> 7)];
}

class Cursor {
  readonly bytes: Uint8Array;
  at = 8;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
  byte(): number {
    return this.bytes[this.at++] ?? 0;
  }
  u(): number {
    let result = 0;
    for (let scale = 1; ; scale *= 128) {
      const b = this.byte();
      result += (b & 0x7f) * scale;
      if (b < 0x80) return result;
    }
  }
}

/** Puts the memory index after each segment flag of 2, in the data section of a module with several memories. */
function nameMemories(bytes: Uint8Array, text: string): Uint8Array {
  const cursor = new Cursor(bytes);
  while (cursor.at < bytes.length) {
    const start = cursor.at;
    const id = cursor.byte();
    const end = cursor.u() + cursor.at;
    if (id === 11) return rewriteData(cursor, start, end, text);
    cursor.at = end;
  }
  return bytes;
}

function rewriteData(cursor: Cursor, start: number, end: number, text: string): Uint8Array {
  const { bytes } = cursor;
  const count = cursor.u();
  const parts: number[] = leb(count);
  let memories: (number | undefined)[] | undefined;
  let wanting = false;
  for (let i = 0; i < count; i++) {
    const flag = cursor.u();
    parts.push(flag);
    if (flag === 2) {
      memories ??= segmentMemories(readAll(text)[0] as List);
      parts.push(...leb(memories[i] ?? 0));
      wanting = true;
    }
    const from = cursor.at;
    if (flag !== 1 && !skipExpression(cursor, end)) return bytes;
    const size = cursor.u();
    cursor.at += size;
    for (let k = from; k < cursor.at; k++) parts.push(bytes[k]!);
  }
  if (!wanting) return bytes;
  return Buffer.concat([
    bytes.subarray(0, start),
    Uint8Array.from([11, ...leb(parts.length)]),
    Uint8Array.from(parts),
    bytes.subarray(end),
  ]);
}
