/**
 * How domains come into a space: of a program that is started, of what was exported elsewhere. On the core's thread; one after the
 * other, for their numbers are known before they are there. Nothing is left of one that cannot be made.
 */
import { EnvironmentError } from '../base/errors.ts';
import { parseAddress } from '../drivers/address.ts';
import { openInput } from '../drivers/input.ts';
import { hasProcedures } from '../kernel/gate/procedures.ts';
import type { LoadedModule } from '../kernel/program.ts';
import { type Grant, homeOf } from '../personalities/wasi/index.ts';
import { SpaceFullError, SUPERBLOCK_ADDRESS, Superblock } from '../space/index.ts';
import type { CarriedAbout } from './carry.ts';
import { type Composition, loadProgram } from './compose.ts';
import { programKey } from './forms.ts';
import { descriptorsOf, type Holdings } from './holdings.ts';
import { contentsOf, Layout, sharedOf } from './mappings.ts';
import type { InstalledProgram } from './messages.ts';
import { decodePlain } from './plain.ts';
import { explained, limitsOf } from './summaries.ts';
import type { DirGrant, ImportOptions, RunRequest } from './types.ts';

/** What is done with domains that have come. */
export interface Arrived {
  /** It is there, with these arguments, and has begun as far as it begins by itself. */
  begun(id: number, name: string, args: readonly string[]): void;
  /** What was to be made is not: give back what was given to its number. */
  dropped(id: number): void;
}

export class Arrivals {
  readonly #c: Composition;
  readonly #holdings: Holdings;
  readonly #programs: Map<string, LoadedModule>;
  readonly #arrived: Arrived;

  constructor(
    composition: Composition,
    holdings: Holdings,
    programs: Map<string, LoadedModule>,
    arrived: Arrived,
  ) {
    this.#c = composition;
    this.#holdings = holdings;
    this.#programs = programs;
    this.#arrived = arrived;
  }

  /** Makes a domain of a program and starts it: its number. Only one at a time: others must wait for the promise. */
  async spawn(request: RunRequest, installed: InstalledProgram, foreground: boolean): Promise<number> {
    const { kernel, console, wasi } = this.#c;
    const contents = await contentsOf(request);
    const name = this.#freeName(request.name, request.exact);
    const module = this.#program(installed);
    const entry = ['_start', '_initialize'].find((each) => module.info.exportedFunction(each) >= 0);
    if (entry === undefined && !hasProcedures(module)) {
      throw new EnvironmentError(
        'not-a-program',
        `${request.arguments[0]} exports no _start, and no procedures`,
        'it is a library; link it as a command',
      );
    }
    const id = Superblock.fields.nextDomain.get(this.#c.space, SUPERBLOCK_ADDRESS);
    try {
      const grants = [...this.#grants(id, name, request.dirs), ...(await this.#sockets(id, request))];
      const { arguments: args, environment: env } = request;
      const options = {
        name,
        module,
        volatile: request.volatile,
        detached: request.detached,
        trapUnknownImports: request.trapUnknownImports,
        compiler: request.grants.includes('compiler'),
        ...limitsOf(request),
      };
      this.#holdings.granting([...request.imports, ...sharedOf(request.maps)], (granted) => {
        const { descriptors, named } = descriptorsOf(granted.slice(0, request.imports.length));
        const layout = new Layout(kernel, request.maps, contents, granted.slice(request.imports.length));
        const personalityState = wasi.createState({
          args,
          env: [...layout.variables(), ...env],
          grants: [...grants, ...descriptors],
        });
        kernel.createDomain({ ...options, personalityState, grants: named });
        layout.map(id);
      });
      if (!console.open(id, name, { detached: !foreground })) throw new SpaceFullError(0);
      // One that only has procedures is there to be called.
      if (entry !== undefined) kernel.start(id, entry);
    } catch (error) {
      if (kernel.has(id)) kernel.remove(id);
      else this.#arrived.dropped(id);
      throw explained(error, name);
    }
    if (foreground) console.attachInput(id, openInput(0));
    this.#arrived.begun(id, name, request.arguments);
    return id;
  }

  /** Makes a domain of what `export` gave, perhaps elsewhere. It goes on where programs run. */
  import(
    about: CarriedAbout,
    encoded: Uint8Array,
    installed: InstalledProgram,
    { dirs, grants, imports }: Pick<ImportOptions, 'dirs' | 'grants' | 'imports'>,
  ): number {
    const { kernel, console, folders, wasi } = this.#c;
    const name = this.#freeName(about.name, true);
    // The kernel checks it field by field.
    const image = decodePlain(encoded) as Parameters<typeof kernel.importDomain>[0];
    const id = kernel.importDomain(image, this.#program(installed), name, grants.includes('compiler'));
    try {
      if (!console.open(id, name, { detached: true })) throw new SpaceFullError(0);
      const state = kernel.status(id).personalityState;
      for (const { host, guest, readOnly } of dirs) {
        const grant = { kind: 'host', id: folders.grant(id, host, readOnly).id, guest, readOnly } as const;
        if (state === 0 || !wasi.grantAgain(state, grant)) {
          throw new EnvironmentError('no-such-folder', `${name} had no folder ${guest} of the host`);
        }
      }
      for (const given of imports) this.#holdings.grant(id, given);
    } catch (error) {
      kernel.remove(id);
      throw explained(error, name);
    }
    kernel.resume(id);
    this.#arrived.begun(id, name, about.arguments);
    return id;
  }

  #program(installed: InstalledProgram): LoadedModule {
    const key = programKey(installed.hash, installed.form);
    const loaded = this.#programs.get(key) ?? loadProgram(installed);
    this.#programs.set(key, loaded);
    return loaded;
  }

  /** The name, or with a number where a program of that name is there. One that has ended makes room. */
  #freeName(wanted: string, exact: boolean): string {
    const { kernel, console } = this.#c;
    for (let number = 1; ; number++) {
      const name = number === 1 ? wanted : `${wanted}-${number}`;
      const id = kernel.find(name);
      if (id < 0) return name;
      const ended = kernel.status(id).state === 'exited';
      const unseen = console.has(id) && console.keptBytes(id) > 0;
      if (ended && !unseen) {
        this.#c.kernel.remove(id);
        return name;
      }
      if (!exact) continue;
      const hint = `perdure attach ${name}, perdure rm${ended ? '' : ' --force'} ${name}, or choose another name`;
      const what = ended ? 'has ended, and nobody has seen all that it wrote' : 'is there already';
      throw new EnvironmentError('name-taken', `a program called ${name} ${what}`, hint);
    }
  }

  #grants(id: number, name: string, dirs: readonly DirGrant[]): Grant[] {
    const grants: Grant[] = dirs.map(({ host, guest, readOnly }) => ({
      kind: 'host',
      id: this.#c.folders.grant(id, host, readOnly).id,
      guest,
      readOnly,
    }));
    // Its own folder is the root of what it sees, unless a folder of the host is to be that.
    return dirs.some((dir) => dir.guest === '/') ? grants : [homeOf(name), ...grants];
  }

  async #sockets(id: number, request: RunRequest): Promise<Grant[]> {
    const { network } = this.#c;
    const grants: Grant[] = [];
    for (const text of request.listen) {
      grants.push({ kind: 'listener', id: (await network.listen(id, parseAddress(text)!)).id });
    }
    for (const text of request.connect) {
      grants.push({ kind: 'socket', id: (await network.connect(id, parseAddress(text)!)).id });
    }
    return grants;
  }
}
