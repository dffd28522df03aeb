/**
 * Commands that ask or change a space without hosting it in the foreground: ps, stop, rm, inspect, export, import.
 * Where a process owns the space it does the work; else the space is opened here, with nothing running in it: only to
 * look where looking is enough.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { EnvironmentError } from '../base/errors.ts';
import type { Parsed } from './args.ts';
import { Host } from './host.ts';
import { clean, say } from './output.ts';
import { RemoteSpace } from './remote.ts';
import { grantsOf, isolationOf, parseDir, spaceFolder } from './request.ts';
import { domainTable, inspectionPage } from './show.ts';
import { lastDomains } from './spacestore.ts';
import type { SpaceApi } from './types.ts';
import { showSize } from './units.ts';

/** What is done to a space: looked at, changed, also made, or changed while programs in it may run that it needs. */
type Access = 'read' | 'write' | 'create' | 'run';

/** The space through its owner if it has one, else opened here. */
async function openSpace(parsed: Parsed, access: Access): Promise<SpaceApi> {
  const folder = spaceFolder(parsed);
  const remote = await RemoteSpace.connect(folder);
  if (remote !== undefined) return remote;
  const readOnly = access === 'read';
  return Host.open({
    folder,
    create: access === 'create',
    resume: 'none',
    readOnly,
    paused: access !== 'run',
  });
}

export async function withSpace<T>(
  parsed: Parsed,
  access: Access,
  use: (space: SpaceApi) => Promise<T>,
): Promise<T> {
  const space = await openSpace(parsed, access);
  try {
    return await use(space);
  } finally {
    await space.close();
  }
}

export async function runPs(parsed: Parsed): Promise<number> {
  const folder = spaceFolder(parsed);
  const remote = await RemoteSpace.connect(folder);
  // Without an owner the small record of the last checkpoint says it all.
  const domains = remote === undefined ? await lastDomains(folder) : await remote.list();
  await remote?.close();
  if (parsed.flags.has('json')) process.stdout.write(`${JSON.stringify(domains, null, 2)}\n`);
  else if (parsed.flags.has('names')) process.stdout.write(domains.map(({ name }) => `${name}\n`).join(''));
  else if (domains.length === 0) say(`there are no programs in ${folder}`);
  else process.stdout.write(domainTable(domains));
  return 0;
}

export async function runInspect(parsed: Parsed): Promise<number> {
  const inspection = await withSpace(parsed, 'read', (space) => space.inspect(parsed.positionals[0]!));
  const text = parsed.flags.has('json')
    ? `${JSON.stringify(inspection, null, 2)}\n`
    : inspectionPage(inspection);
  process.stdout.write(text);
  return 0;
}

/** A folder's entries, one a line, or a file's bytes as they are. */
export async function runFiles(parsed: Parsed): Promise<number> {
  const [name, path = '/'] = parsed.positionals as [string, string?];
  const found = await withSpace(parsed, 'read', (space) => space.files(name, path));
  if (found.kind === 'file') await writeOut(found.bytes);
  else if (parsed.flags.has('json')) process.stdout.write(`${JSON.stringify(found.entries, null, 2)}\n`);
  else {
    const lines = found.entries.map(({ name: entry, type, size }) => {
      const about = type === 'file' ? showSize(size) : type;
      return `${about.padStart(10)}  ${clean(entry)}${type === 'folder' ? '/' : ''}\n`;
    });
    process.stdout.write(lines.join(''));
  }
  return 0;
}

function writeOut(bytes: Uint8Array): Promise<void> {
  return new Promise((done, fail) => {
    process.stdout.write(bytes, (error) => (error ? fail(error) : done()));
  });
}

export async function runStop(parsed: Parsed): Promise<number> {
  const quiet = parsed.flags.has('quiet');
  if (parsed.positionals.length === 0) return stopOwner(spaceFolder(parsed), quiet);
  await withSpace(parsed, 'write', async (space) => {
    for (const name of parsed.positionals) {
      await space.stop(name);
      if (!quiet) say(`stopped ${clean(name)}`);
    }
  });
  return 0;
}

async function stopOwner(folder: string, quiet: boolean): Promise<number> {
  const remote = await RemoteSpace.connect(folder);
  if (remote === undefined) {
    await lastDomains(folder); // complains where there is no space
    if (!quiet) say('nothing runs there; every program is suspended already');
    return 0;
  }
  await remote.shutdown();
  if (!quiet) say('suspended everything; perdure up goes on from here');
  return 0;
}

export async function runRemove(parsed: Parsed): Promise<number> {
  const options = { force: parsed.flags.has('force'), keepFiles: parsed.flags.has('keep-files') };
  await withSpace(parsed, 'write', async (space) => {
    for (const name of parsed.positionals) {
      await space.remove(name, options);
      if (!parsed.flags.has('quiet')) say(`removed ${clean(name)}`);
    }
  });
  return 0;
}

export async function runExport(parsed: Parsed): Promise<number> {
  const [name, file = `${name}.perdure`] = parsed.positionals as [string, string?];
  const keep = parsed.flags.has('keep');
  // Without --keep the program is suspended here, and that has to be durable: looking is not enough.
  const archive = await withSpace(parsed, keep ? 'read' : 'write', (space) => space.export(name, keep));
  if (file === '-') {
    await writeOut(archive);
    return 0;
  }
  writeDurably(file, archive);
  if (!parsed.flags.has('quiet')) {
    const suspended = keep ? '' : '; it is suspended here';
    say(`exported ${clean(name)} to ${file} (${showSize(archive.length)})${suspended}`);
  }
  return 0;
}

/** Whole or not at all, also when the machine stops in the middle. */
function writeDurably(file: string, bytes: Uint8Array): void {
  const target = resolve(file);
  const temporary = `${target}.${process.pid}.part`;
  try {
    const fd = openSync(temporary, 'wx', 0o600);
    try {
      for (let at = 0; at < bytes.length; )
        at += writeSync(fd, bytes, at, Math.min(bytes.length - at, 1 << 24));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, target);
    const folder = openSync(dirname(target), 'r');
    fsyncSync(folder);
    closeSync(folder);
  } catch (error) {
    try {
      unlinkSync(temporary);
    } catch {
      // It was never made.
    }
    throw new EnvironmentError('write', `cannot write ${file}: ${(error as Error).message}`);
  }
}

export async function runImport(parsed: Parsed): Promise<number> {
  const file = parsed.positionals[0]!;
  const archive = readArchiveFile(file);
  const dirs = (parsed.lists.get('dir') ?? []).map(parseDir);
  const name = parsed.values.get('name') ?? null;
  const isolation = isolationOf(parsed);
  const given = grantsOf(parsed);
  const domain = await withSpace(parsed, 'create', (space) =>
    space.import(archive, { name, dirs, ...given, isolation }),
  );
  if (!parsed.flags.has('quiet')) {
    const next = domain.state === 'suspended' ? '; perdure up lets it go on' : '';
    say(`imported ${clean(domain.name)} (${domain.state})${next}`);
  }
  return 0;
}

function readArchiveFile(file: string): Uint8Array {
  try {
    return readFileSync(file === '-' ? 0 : file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === 'ENOENT' ? `there is no file ${file}` : `cannot read ${file}: ${message}`;
    throw new EnvironmentError('read', why);
  }
}
