import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ERRNO } from '../../abi/errno.ts';
import { Prng, seedFrom } from '../../base/prng.ts';
import { errnoOf } from '../errno.ts';
import * as at from './at.ts';
import { scratch } from './testing.ts';
import { walk } from './walk.ts';

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
const NAMES = ['a', 'b', 'c', 'd'];

function randomPath(random: Prng, most: number): string {
  const parts = Array.from({ length: 1 + random.below(most) }, () =>
    random.pick([...NAMES, ...NAMES, '..', '..', '.', '']),
  );
  return parts.join('/') || 'a';
}

/** A tree of directories, files and links that point anywhere, in and out. */
function plant(random: Prng, inside: string): void {
  const directories = [inside];
  for (let count = 0; count < 40; count++) {
    const path = join(random.pick(directories), random.pick(NAMES));
    if (fs.existsSync(path) || fs.lstatSync(path, { throwIfNoEntry: false })) continue;
    const kind = random.below(10);
    if (kind < 4) {
      fs.mkdirSync(path);
      directories.push(path);
    } else if (kind < 6) fs.writeFileSync(path, path);
    else fs.symlinkSync(random.chance(0.1) ? inside : randomPath(random, 5), path);
  }
}

/** Every inode at or below a path, links not followed. */
function collect(path: string, into: Set<bigint>): void {
  const stat = fs.lstatSync(path, { bigint: true });
  into.add(stat.ino);
  if (stat.isDirectory()) for (const name of fs.readdirSync(path)) collect(join(path, name), into);
}

/** What the walk finds: an inode, or -errno. */
function found(start: number, path: string, follow: boolean): bigint | number {
  const place = walk(start, path, follow);
  if (typeof place === 'number') return place;
  const stat = place.name === '' ? at.statOf(place.directory) : at.statAt(place.directory, place.name);
  place.done();
  if (typeof stat === 'number') return stat;
  return place.mustBeDirectory && stat.type !== 3 ? -ERRNO.NOTDIR : stat.inode;
}

test(`a walk finds what the host finds, and never anything outside (seed ${seed})`, (t) => {
  const random = new Prng(seed);
  const tally = { inside: 0, refused: 0, failed: 0 };
  for (let round = 0; round < 12; round++) {
    const inside = join(scratch(t), 'inside');
    fs.mkdirSync(inside);
    fs.mkdirSync(join(inside, '..', 'a'));
    fs.writeFileSync(join(inside, '..', 'b'), 'outside');
    plant(random, inside);
    const inodes = new Set<bigint>();
    collect(inside, inodes);
    const start = at.lookAtFolder(inside);
    const before = fs.readdirSync('/proc/self/fd').length;
    for (let count = 0; count < 400; count++) {
      const path = randomPath(random, 7);
      const follow = random.chance(0.7);
      const result = found(start, path, follow);
      if (result === -ERRNO.PERM) {
        tally.refused++;
        continue;
      }
      let host: bigint | number;
      try {
        const stat = follow ? fs.statSync : fs.lstatSync;
        host = (stat(`${inside}/${path}`, { bigint: true }) as fs.BigIntStats).ino;
      } catch (error) {
        host = -errnoOf(error);
      }
      assert.equal(result, host, `${path} in ${inside}`);
      if (typeof result === 'bigint') assert.ok(inodes.has(result), path);
      tally[typeof result === 'bigint' ? 'inside' : 'failed']++;
    }
    assert.equal(fs.readdirSync('/proc/self/fd').length, before, 'no descriptor is left open');
    at.close(start);
  }
  for (const [what, count] of Object.entries(tally)) assert.ok(count > 50, `${what}: ${count}`);
});
