/**
 * Source maps for WebAssembly: a generated column of line 1 is a byte offset in the module. The custom section
 * `sourceMappingURL` says where the map is; only maps at hand are read, nothing is ever fetched.
 */
import { TraceMap, traceSegment } from '@jridgewell/trace-mapping';
import type { ProgramSources, SourceFrame } from '../abi/program.ts';
import { MalformedError } from '../base/errors.ts';
import { SOURCE_MAP_MAX_BYTES } from '../base/limits.ts';
import { Reader } from '../wasm/reader.ts';

export const URL_SECTION = 'sourceMappingURL';

/** What is kept of a map: the sources' contents and the names in them are not needed. */
interface Map3 {
  readonly version: 3;
  readonly sourceRoot?: string;
  readonly sources: readonly (string | null)[];
  readonly names: readonly string[];
  readonly mappings: string;
}

/** The address in a section `sourceMappingURL`; null where it is none. */
export function mapUrl(section: Uint8Array | undefined): string | null {
  if (section === undefined) return null;
  try {
    return new Reader(section).name();
  } catch (error) {
    if (error instanceof MalformedError) return null;
    throw error;
  }
}

/** The bytes of a `data:` URL; null for any other. */
export function dataUrl(url: string): Uint8Array | null {
  const match = /^data:[^,]*?(;base64)?,(.*)$/s.exec(url);
  if (match === null) return null;
  try {
    const text = decodeURIComponent(match[2] as string);
    return match[1] === undefined ? new TextEncoder().encode(text) : Uint8Array.fromBase64(text);
  } catch {
    return null; // escapes or base64 that are none
  }
}

function decodeMap(bytes: Uint8Array): Map3 {
  const refuse = (why: string): never => {
    throw new MalformedError(`the source map ${why}`, -1);
  };
  if (bytes.length > SOURCE_MAP_MAX_BYTES) refuse(`is larger than ${SOURCE_MAP_MAX_BYTES} bytes`);
  let map: Partial<Map3> | null = null;
  try {
    // Servers used to put these characters before JSON, so that it was no script.
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/^\)\]\}'[^\n]*/, '');
    map = JSON.parse(text) as Partial<Map3> | null;
  } catch {
    refuse('is not JSON');
  }
  if (typeof map !== 'object' || map === null || map.version !== 3) return refuse('is not of version 3');
  const { sourceRoot, sources, mappings } = map;
  const named = Array.isArray(sources) && sources.every((each) => each === null || typeof each === 'string');
  if (!named || typeof mappings !== 'string') return refuse('has no sources or no mappings');
  const root = typeof sourceRoot === 'string' ? { sourceRoot } : {};
  return { version: 3, ...root, sources, names: [], mappings };
}

/**
 * A map as it is kept with a program.
 * @throws MalformedError where it is none
 */
export function compactMap(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(decodeMap(bytes)));
}

/** The largest of an ascending list that is not above a number; 0 where there is none. */
function lastUpTo(list: readonly number[], most: number): number {
  let [from, to] = [0, list.length];
  while (from < to) {
    const middle = (from + to) >>> 1;
    if ((list[middle] as number) <= most) from = middle + 1;
    else to = middle;
  }
  return list[from - 1] ?? 0;
}

function traced(map: Map3): TraceMap {
  try {
    return new TraceMap(map as ConstructorParameters<typeof TraceMap>[0]);
  } catch (error) {
    throw new MalformedError(`the source map cannot be read: ${(error as Error).message}`, -1);
  }
}

/**
 * The sources of a program by its map.
 * @param bodies where the bodies of its functions begin, ascending, in bytes from the module's start
 * @throws MalformedError where that is none
 */
export function mapSources(bytes: Uint8Array, bodies: readonly number[]): ProgramSources {
  const plain = decodeMap(bytes);
  const map = traced(plain);
  return {
    at(offset: number): readonly SourceFrame[] {
      const from = lastUpTo(bodies, offset);
      let segment: ReturnType<typeof traceSegment> = null;
      try {
        segment = traceSegment(map, 0, offset);
        // Binaryen leaves calls without a place of their own; what stands before is an argument or the callee.
        if (segment?.length === 1 && segment[0] > from) segment = traceSegment(map, 0, segment[0] - 1);
      } catch {
        // Mappings that cannot be decoded: the library says so in whatever way it runs into it.
      }
      const [at, source, line, column] = segment ?? [];
      if (at === undefined || at < from) return [];
      const file = source === undefined ? undefined : map.resolvedSources[source];
      if (file === undefined || line === undefined) return [];
      return [{ inlined: null, source: { file, line: line + 1, column: (column ?? 0) + 1 } }];
    },
  };
}
