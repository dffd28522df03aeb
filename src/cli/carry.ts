/**
 * A domain as one file: what `perdure export` writes and `perdure import` reads. The container (`store/archive.ts`)
 * guards against damage; the sections are
 *
 *   about    JSON: what the file is, for people and tools: name, program, arguments
 *   program  the program as it was shipped; the other machine's compiler rewrites it anew
 *   map      where the program came with one: its source map
 *   domain   the image of the domain (kernel/image.ts) as plain data: memory, call stack, files
 *
 * Nothing in it is believed: the program is compiled and verified, the image is checked by the kernel.
 */
import { createHash } from 'node:crypto';
import { EnvironmentError, MalformedError } from '../base/errors.ts';
import { compactMap } from '../debug/index.ts';
import { readArchive, writeArchive } from '../store/archive.ts';

export const CARRIED_VERSION = 1;

export interface CarriedAbout {
  readonly kind: 'perdure domain';
  readonly version: number;
  readonly name: string;
  /** SHA-256 of the program, hexadecimal. */
  readonly program: string;
  readonly arguments: readonly string[];
  /** It was started with memory mapped for it. */
  readonly windows?: boolean;
}

export interface Carried {
  readonly about: CarriedAbout;
  readonly program: Uint8Array;
  /** Encoded by `plain.ts`. */
  readonly image: Uint8Array;
  /** As `compactMap` gives it. */
  readonly sourceMap?: Uint8Array | undefined;
}

export function packCarried({ about, program, image, sourceMap }: Carried): Uint8Array {
  const sections = [
    { name: 'about', bytes: new TextEncoder().encode(JSON.stringify(about)) },
    { name: 'program', bytes: program },
    ...(sourceMap === undefined ? [] : [{ name: 'map', bytes: sourceMap }]),
    { name: 'domain', bytes: image },
  ];
  return Buffer.concat([...writeArchive(sections)]);
}

/** @throws MalformedError with the offset of the damage; EnvironmentError where a newer perdure wrote it */
export function unpackCarried(archive: Uint8Array): Carried {
  const sections = new Map<string, Uint8Array>();
  for (const { name, bytes } of readArchive(archive)) sections.set(name, bytes);
  const [about, program, image] = ['about', 'program', 'domain'].map((name) => {
    const bytes = sections.get(name);
    if (bytes === undefined) throw new MalformedError(`the archive has no section "${name}"`, -1);
    return bytes;
  }) as [Uint8Array, Uint8Array, Uint8Array];
  const said = parseAbout(about);
  const hash = createHash('sha256').update(program).digest('hex');
  if (hash !== said.program) throw new MalformedError('the archive holds another program than it says', -1);
  const map = sections.get('map');
  return { about: said, program, image, sourceMap: map && compactMap(map) };
}

function parseAbout(bytes: Uint8Array): CarriedAbout {
  let about: Partial<CarriedAbout> | null = null;
  try {
    about = JSON.parse(
      new TextDecoder('utf-8', { fatal: true }).decode(bytes),
    ) as Partial<CarriedAbout> | null;
  } catch {
    // Refused below.
  }
  if (about?.kind !== 'perdure domain') throw new MalformedError('the archive holds no domain', -1);
  if (about.version !== CARRIED_VERSION) {
    throw new EnvironmentError(
      'archive-newer',
      `the archive is of version ${about.version}; this perdure reads ${CARRIED_VERSION}`,
      'use a later perdure',
    );
  }
  const args: unknown = about.arguments;
  const strings = Array.isArray(args) && args.every((argument) => typeof argument === 'string');
  if (typeof about.name !== 'string' || typeof about.program !== 'string' || !strings) {
    throw new MalformedError('the archive does not say what it holds', -1);
  }
  return about as CarriedAbout;
}
