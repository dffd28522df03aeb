/**
 * What a program's debug information tells of its sources: DWARF in its custom sections (`line.ts`, `inlined.ts`), or a
 * source map (`map.ts`). Read when it is first asked, from the program as it was shipped.
 *
 * All of it is of the program's own making: what is not well formed is left out, work is bounded by its size, and
 * nothing but reports may depend on it.
 *
 * Why: RATIONALE.md#source-lines-come-from-what-the-program-carries
 */
import type { ProgramSources, SourceFrame } from '../abi/program.ts';
import { MalformedError } from '../base/errors.ts';
import { DEBUG_SECTION_MAX_BYTES } from '../base/limits.ts';
import { Reader } from '../wasm/reader.ts';
import { InlinedCalls } from './inlined.ts';
import { LineTables } from './line.ts';
import { dataUrl, mapSources, mapUrl, URL_SECTION } from './map.ts';

export { compactMap } from './map.ts';

/** Answers that are kept. */
const KNOWN_MOST = 10_000;

const CUSTOM = 0;
const CODE = 10;

export interface Sections {
  /** Where the contents of the code section begin; 0 where there is none. */
  readonly code: number;
  /** Where the bodies of functions begin, ascending. */
  readonly bodies: readonly number[];
  /** Custom sections by name. */
  readonly customs: ReadonlyMap<string, Uint8Array>;
}

/** What is of interest in a module; of one that is not well formed, what comes before the fault. */
export function debugSections(program: Uint8Array): Sections {
  const customs = new Map<string, Uint8Array>();
  const bodies: number[] = [];
  let code = 0;
  try {
    const r = new Reader(program, 8);
    while (r.pos < program.length) {
      const id = r.u8();
      const size = r.u32();
      const start = r.skip(size);
      if (id === CODE) {
        code = start;
        const inner = new Reader(program, start, start + size);
        for (let n = inner.u32(); n > 0; n--) bodies.push(inner.skip(inner.u32()));
      }
      if (id !== CUSTOM) continue;
      const inner = new Reader(program, start, start + size);
      const name = inner.name();
      if (!customs.has(name)) customs.set(name, program.subarray(inner.pos, start + size));
    }
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
  }
  return { code, bodies, customs };
}

class Dwarf implements ProgramSources {
  readonly #code: number;
  readonly #lines: LineTables;
  readonly #inlined: InlinedCalls | null;

  constructor(code: number, customs: ReadonlyMap<string, Uint8Array>) {
    const section = (name: string): Uint8Array | undefined => {
      const bytes = customs.get(`.debug_${name}`);
      return bytes !== undefined && bytes.length <= DEBUG_SECTION_MAX_BYTES ? bytes : undefined;
    };
    const [texts, lineTexts, info, abbrev] = [
      section('str'),
      section('line_str'),
      section('info'),
      section('abbrev'),
    ];
    this.#code = code;
    this.#lines = new LineTables({ line: section('line') ?? new Uint8Array(0), texts, lineTexts });
    this.#inlined =
      info === undefined || abbrev === undefined
        ? null
        : new InlinedCalls({
            ...{ info, abbrev, texts, lineTexts },
            textOffsets: section('str_offsets'),
            addresses: section('addr'),
            ranges: section('ranges'),
            rangeLists: section('rnglists'),
          });
  }

  at(offset: number): readonly SourceFrame[] {
    const address = offset - this.#code;
    const source = this.#lines.at(address, (table) => this.#inlined?.folder(table) ?? null);
    const covering = this.#inlined?.at(address) ?? null;
    if (covering === null) return source === null ? [] : [{ inlined: null, source }];
    const { lineTable, calls } = covering;
    const folder = this.#inlined?.folder(lineTable) ?? null;
    const frames: SourceFrame[] = [];
    let here = source;
    for (const { name, ...call } of calls) {
      frames.push({ inlined: name, source: here });
      here = this.#lines.place(lineTable, call, folder);
    }
    return [...frames, { inlined: null, source: here }];
  }
}

const NOTHING: ProgramSources = { at: () => [] };

/** Keeps answers, and reads nothing before the first question. */
class Lazy implements ProgramSources {
  readonly #open: () => ProgramSources;
  #sources: ProgramSources | null = null;
  readonly #known = new Map<number, readonly SourceFrame[]>();

  constructor(open: () => ProgramSources) {
    this.#open = open;
  }

  at(offset: number): readonly SourceFrame[] {
    const known = this.#known.get(offset);
    if (known !== undefined) return known;
    this.#sources ??= this.#open();
    const frames = this.#sources.at(offset);
    if (this.#known.size < KNOWN_MOST) this.#known.set(offset, frames);
    return frames;
  }
}

/**
 * @param program the program as it was shipped
 * @param map the source map it names, where it is kept beside it
 */
export function programSources(program: Uint8Array, map?: Uint8Array): ProgramSources {
  return new Lazy(() => {
    const { code, bodies, customs } = debugSections(program);
    if (customs.has('.debug_line')) return new Dwarf(code, customs);
    const url = mapUrl(customs.get(URL_SECTION));
    const found = map ?? (url === null ? null : dataUrl(url));
    try {
      return found === null ? NOTHING : mapSources(found, bodies);
    } catch (error) {
      if (error instanceof MalformedError) return NOTHING;
      throw error;
    }
  });
}

/** Where the program says its source map is; null where it says nothing, or has a better source of lines. */
export function sourceMapUrl(program: Uint8Array): string | null {
  const { customs } = debugSections(program);
  return customs.has('.debug_line') ? null : mapUrl(customs.get(URL_SECTION));
}
