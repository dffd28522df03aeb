/**
 * The types of a module's exports, read from its bytes: what a caller must know to pass values bit by bit, and what
 * JavaScript's interface does not tell. A reader for well-formed modules only; it validates nothing.
 *
 *   const types = exportTypes(bytes)      name → function or global type; undefined where the type is beyond adapters
 */

/** Value types by their byte in the binary format. Types of typed references are not among them. */
export const VALUE_TYPES: Readonly<Record<number, string>> = {
  127: 'i32',
  126: 'i64',
  125: 'f32',
  124: 'f64',
  123: 'v128',
  112: 'funcref',
  111: 'externref',
  105: 'exnref',
};

export type ExportType =
  | { readonly kind: 'func'; readonly params: readonly number[]; readonly results: readonly number[] }
  | { readonly kind: 'global'; readonly value: number; readonly mutable: boolean };

type FuncType = Extract<ExportType, { kind: 'func' }> | undefined;

class Reader {
  readonly #bytes: Uint8Array;
  at: number;
  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }
  byte(): number {
    return this.#bytes[this.at++] ?? 0;
  }
  /** An unsigned LEB128; values past 2^53 are not met in the fields read here but as limits, where they do not matter. */
  u(): number {
    let result = 0;
    for (let scale = 1; ; scale *= 128) {
      const b = this.byte();
      result += (b & 0x7f) * scale;
      if (b < 0x80 || this.at > this.#bytes.length) return result;
    }
  }
  name(): string {
    const n = this.u();
    this.at += n;
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.#bytes.subarray(this.at - n, this.at));
  }
  /** A value type, or 0 for one that is a typed reference. */
  valueType(): number {
    const b = this.byte();
    if (b !== 0x63 && b !== 0x64) return b in VALUE_TYPES ? b : 0;
    const heap = this.#bytes[this.at]!;
    this.u();
    // (ref null func) and (ref null extern) are the short forms written out
    return b === 0x63 && (heap === 0x70 || heap === 0x6f || heap === 0x69) ? heap : 0;
  }
  limits(): void {
    const flags = this.byte();
    this.u();
    if (flags & 1) this.u();
  }
}

function functionType(reader: Reader): FuncType {
  const list = (): number[] => Array.from({ length: reader.u() }, () => reader.valueType());
  const params = list();
  const results = list();
  return [...params, ...results].includes(0) ? undefined : { kind: 'func', params, results };
}

function typeSection(reader: Reader): FuncType[] {
  const types: FuncType[] = [];
  const one = (): void => {
    let form = reader.byte();
    if (form === 0x50 || form === 0x4f) {
      for (let n = reader.u(); n > 0; n--) reader.u();
      form = reader.byte();
    }
    if (form === 0x60) {
      types.push(functionType(reader));
      return;
    }
    const field = (): void => {
      const storage = reader.byte();
      if (storage !== 0x78 && storage !== 0x77) {
        reader.at--;
        reader.valueType();
      }
      reader.byte();
    };
    for (let n = form === 0x5f ? reader.u() : 1; n > 0; n--) field();
    types.push(undefined);
  };
  for (let n = reader.u(); n > 0; n--) {
    if (reader.byte() === 0x4e) for (let m = reader.u(); m > 0; m--) one();
    else {
      reader.at--;
      one();
    }
  }
  return types;
}

class ModuleTypes {
  types: FuncType[] = [];
  readonly functions: FuncType[] = [];
  readonly globals: ExportType[] = [];

  imports(reader: Reader): void {
    for (let n = reader.u(); n > 0; n--) {
      reader.name();
      reader.name();
      const kind = reader.byte();
      if (kind === 0) this.functions.push(this.types[reader.u()]);
      else if (kind === 1) {
        reader.valueType();
        reader.limits();
      } else if (kind === 2) reader.limits();
      else if (kind === 3) this.globals.push(this.#global(reader));
      else {
        reader.byte();
        reader.u();
      }
    }
  }

  #global(reader: Reader): ExportType {
    return { kind: 'global', value: reader.valueType(), mutable: reader.byte() === 1 };
  }

  exports(reader: Reader): Map<string, ExportType | undefined> {
    const found = new Map<string, ExportType | undefined>();
    for (let n = reader.u(); n > 0; n--) {
      const name = reader.name();
      const kind = reader.byte();
      const index = reader.u();
      if (kind === 0) found.set(name, this.functions[index]);
      if (kind === 3) found.set(name, this.globals[index]);
    }
    return found;
  }
}

/** Types of the exported functions and globals that `bytes`, a valid module, has. */
export function exportTypes(bytes: Uint8Array): Map<string, ExportType | undefined> {
  const module = new ModuleTypes();
  let exports = new Map<string, ExportType | undefined>();
  const reader = new Reader(bytes, 8);
  while (reader.at < bytes.length) {
    const id = reader.byte();
    const end = reader.u() + reader.at;
    if (id === 1) module.types = typeSection(reader);
    else if (id === 2) module.imports(reader);
    else if (id === 3) {
      for (let n = reader.u(); n > 0; n--) module.functions.push(module.types[reader.u()]);
    } else if (id === 6) globalSection(reader, end, module.globals);
    else if (id === 7) exports = module.exports(reader);
    reader.at = end;
  }
  return exports;
}

/**
 * Own globals' initializers are expressions of any length; only their ends matter, and an end (0x0b) can hide in a
 * constant. So the types are taken as far as the expressions are simple ones.
 */
function globalSection(reader: Reader, end: number, globals: ExportType[]): void {
  for (let n = reader.u(); n > 0 && reader.at < end; n--) {
    globals.push({ kind: 'global', value: reader.valueType(), mutable: reader.byte() === 1 });
    if (!skipExpression(reader, end)) return;
  }
}

/** What skipping reads through. */
interface Bytes {
  at: number;
  byte(): number;
  u(): number;
}

/** Goes past a constant expression and says true; false where it holds what is not known here. */
export function skipExpression(reader: Bytes, end: number): boolean {
  while (reader.at < end) {
    const opcode = reader.byte();
    if (opcode === 0x0b) return true;
    if (opcode === 0x41 || opcode === 0x42 || opcode === 0x23 || opcode === 0xd2 || opcode === 0xd0)
      reader.u();
    else if (opcode === 0x43) reader.at += 4;
    else if (opcode === 0x44) reader.at += 8;
    else if (opcode === 0xfd) {
      reader.u();
      reader.at += 16;
    } else if (opcode < 0x6a || opcode > 0x7e) return false; // not the integer arithmetic of extended constants
  }
  return false;
}
