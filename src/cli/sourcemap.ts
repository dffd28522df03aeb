/**
 * The source map beside a program's file, where the program names one. Programs are not trusted, so only files below the
 * program's own folder are looked at, and what is no source map is not taken; nothing is fetched.
 */
import { readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, resolve, sep } from 'node:path';
import { MalformedError } from '../base/errors.ts';
import { SOURCE_MAP_MAX_BYTES } from '../base/limits.ts';
import { compactMap, sourceMapUrl } from '../debug/index.ts';

/**
 * The map as it is kept with the program, or undefined where there is none at hand.
 * @param problem told, in one line, why a map that is there is not taken
 */
export function readSourceMap(
  file: string,
  program: Uint8Array,
  problem: (text: string) => void,
): Uint8Array | undefined {
  const url = sourceMapUrl(program);
  if (url === null) return undefined;
  const path = pathBeside(file, url);
  if (path === null) return undefined;
  const refuse = (why: string): undefined => {
    problem(`${path}: ${why}; call stacks will tell bytes instead of lines`);
  };
  try {
    const about = statSync(path);
    if (!about.isFile()) return refuse('a source map has to be a file');
    if (about.size > SOURCE_MAP_MAX_BYTES) return refuse('this source map is too large');
    return compactMap(readFileSync(path));
  } catch (error) {
    return refuse(
      error instanceof MalformedError ? error.message : `cannot be read: ${(error as Error).message}`,
    );
  }
}

/** The real path of a relative address, where something is there and it is below the folder of `file`. */
function pathBeside(file: string, url: string): string | null {
  if (/^[a-z][a-z0-9+.-]*:|^[/\\]|\0/i.test(url)) return null;
  try {
    const folder = realpathSync(dirname(file));
    const path = realpathSync(resolve(folder, decodeURIComponent(url.replace(/[?#].*$/s, ''))));
    return path.startsWith(folder.endsWith(sep) ? folder : folder + sep) ? path : null;
  } catch {
    return null; // escapes that are none, or nothing there: programs are shipped without their maps all the time
  }
}
