/**
 * Memory that is mapped for a program before it begins (`MapGrant`), on the core's thread. What files hold is read before anything
 * is made; where each lies is known before the domain is there, so that its environment can tell it.
 */
import { readFile } from 'node:fs/promises';
import { OBJECT, RIGHT } from '../abi/objects.ts';
import { EnvironmentError } from '../base/errors.ts';
import { FRAME_BYTES, WINDOW_BASE } from '../base/limits.ts';
import type { Grant } from '../kernel/capability/authority.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { writeSegment } from '../kernel/segment/outside.ts';
import type { ImportGrant, MapGrant, MappingReport, RightName, RunRequest } from './types.ts';

const READ: readonly RightName[] = ['read', 'map', 'share', 'derive'];
/** Most mappings of a program that are told of. */
const REPORTED_MAX = 1000;

interface Wanted {
  readonly name: string;
  readonly readOnly: boolean;
  readonly bytes: number;
  /** Of memory that is made for it: what is at its beginning. */
  readonly content?: Uint8Array | undefined;
  /** Of a segment that there is. */
  readonly shared?: Grant | undefined;
}

/** What begins as files or bytes, by name. @throws EnvironmentError for a file that cannot be read, and what cannot be mapped */
export async function contentsOf({ maps, isolation }: RunRequest): Promise<Map<string, Uint8Array>> {
  if (maps.length > 0 && isolation === 'process') {
    const hint = 'run it with the isolation "space"';
    throw new EnvironmentError('bad-mapping', 'nothing is mapped into a process of its own', hint);
  }
  const contents = new Map<string, Uint8Array>();
  const names = new Set<string>();
  for (const { name, from } of maps) {
    checkMapName(name, names.has(name));
    names.add(name);
    if (from.kind === 'bytes') contents.set(name, from.bytes);
    if (from.kind === 'file') contents.set(name, await fileBytes(from.path));
  }
  return contents;
}

/** Names are for environment variables. @throws EnvironmentError */
export function checkMapName(name: string, taken: boolean): void {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
    const hint = 'a letter or _, then letters, digits and _, for an environment variable tells of it';
    throw new EnvironmentError('bad-name', `nothing can be mapped under the name "${name}"`, hint);
  }
  if (taken) throw new EnvironmentError('bad-name', `"${name}" is mapped more than once`);
}

async function fileBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new EnvironmentError('read', `cannot read ${path}: ${(error as Error).message}`);
  }
}

/** The segments that are there already, as grants. */
export function sharedOf(maps: readonly MapGrant[]): ImportGrant[] {
  return maps.flatMap(({ name, from, readOnly }) =>
    from.kind === 'segment'
      ? [{ name, from: from.from, rights: readOnly ? READ : [...READ, 'write' as const] }]
      : [],
  );
}

/** What a program is to see, laid out: mapping is all that is left to do when it is there. */
export class Layout {
  readonly #kernel: Kernel;
  readonly #wanted: readonly (Wanted & { readonly near: number })[];

  /** @param shared grants for `sharedOf(maps)`, in that order. @throws EnvironmentError for what cannot be mapped */
  constructor(
    kernel: Kernel,
    maps: readonly MapGrant[],
    contents: ReadonlyMap<string, Uint8Array>,
    shared: readonly Grant[],
  ) {
    this.#kernel = kernel;
    let near = WINDOW_BASE;
    this.#wanted = maps.map(({ name, from, readOnly }) => {
      const grant = shared.find((each) => each.name === name);
      const content = contents.get(name);
      const bytes =
        grant !== undefined
          ? segmentBytes(kernel, grant)
          : (content?.length ?? (from.kind === 'zeros' ? from.bytes : 0));
      // One place is kept free between two.
      near += FRAME_BYTES;
      const at = near;
      near += Math.ceil(bytes / FRAME_BYTES) * FRAME_BYTES;
      if (!Number.isSafeInteger(bytes) || bytes < 1) throw cannot(name, `it would have ${bytes} bytes`);
      if (near > 2 ** 32 - FRAME_BYTES) throw cannot(name, 'there is room for 2 GiB in all');
      return { name, readOnly, bytes, content, shared: grant, near: at };
    });
  }

  /** `PERDURE_MAP_NAME=0xADDRESS,SIZE` for each. */
  variables(): string[] {
    return this.#wanted.map(({ name, near, bytes }) => `PERDURE_MAP_${name}=0x${near.toString(16)},${bytes}`);
  }

  /** Maps all of it into a domain that has not begun. @throws EnvironmentError, SpaceFullError */
  map(id: number): void {
    const { authority, core } = this.#kernel;
    for (const { name, readOnly, bytes, content, shared, near } of this.#wanted) {
      const segment = shared ?? authority.grantSegment(id, name, bytes);
      if ('object' in segment) {
        if (content !== undefined) writeSegment(core, segment.object as number, 0, content);
        if (readOnly) core.segments.seal(segment.object as number);
      }
      authority.map(id, segment, { offset: 0, bytes, writable: !readOnly, near });
      if (shared !== undefined) authority.grant(id, shared);
    }
  }
}

function segmentBytes({ core }: Kernel, { name, capability }: Grant): number {
  const object = core.capabilities.object(capability);
  if (core.objects.kind(object) === OBJECT.segment) return core.segments.size(object);
  throw cannot(name, 'it is no segment');
}

const cannot = (name: string, why: string): EnvironmentError =>
  new EnvironmentError('bad-mapping', `"${name}" cannot be mapped: ${why}`);

/** What a domain sees of segments, by address. */
export function mappingsOf({ core }: Kernel, id: number): MappingReport[] {
  const domain = core.peek(id);
  if (domain === undefined) return [];
  const reports: MappingReport[] = [];
  for (const { near, bytes, offset, rights, object } of core.windows.of(domain)) {
    if (reports.length === REPORTED_MAX) break;
    const of = core.objects.isGone(object) ? '' : core.objects.idText(object);
    reports.push({ address: near, bytes, offset, writable: (rights & RIGHT.write) !== 0, object: of });
  }
  return reports;
}
