/**
 * The producers section: which tools made a module, of what language. A hint of the program's own making, so a broken one
 * never fails: what comes before the break is told.
 */
import { MalformedError } from '../base/errors.ts';
import { Reader } from './reader.ts';
import type { Custom } from './sections/custom.ts';

export interface Producers {
  /** Languages, such as "C11". */
  readonly languages: string[];
  /** Compilers and tools, such as "clang 14.0.6". */
  readonly tools: string[];
}

const SECTION = 'producers';

/** What the first such section among a module's custom sections says; empty where there is none. */
export function decodeProducers(customs: readonly Custom[]): Producers {
  const producers: Producers = { languages: [], tools: [] };
  const section = customs.find((custom) => custom.name === SECTION);
  if (section === undefined) return producers;
  const r = new Reader(section.source, section.start, section.end);
  try {
    for (let fields = r.u32(); fields > 0; fields--) {
      const field = r.name();
      for (let values = r.u32(); values > 0; values--) {
        const [name, version] = [r.name(), r.name()];
        const list = field === 'language' ? producers.languages : producers.tools;
        list.push(version === '' ? name : `${name} ${version}`);
      }
    }
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
  }
  return producers;
}
