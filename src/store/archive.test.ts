import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MalformedError, UnsupportedError } from '../base/errors.ts';
import { ARCHIVE_PIECE_BYTES } from '../base/limits.ts';
import { Prng, seedFrom } from '../base/prng.ts';
import {
  join,
  pagePieces,
  readArchive,
  readArchiveStream,
  readPagePieces,
  type Section,
  writeArchive,
} from './archive.ts';

const seed = seedFrom(process.env.PERDURE_SEED, Date.now());
console.log(`PERDURE_SEED=${seed}`);
const random = new Prng(seed);
const bytes = (length: number): Uint8Array => new Uint8Array(length).map(() => random.u32());
const written = (sections: Section[]): Uint8Array => join([...writeArchive(sections)]);
const sample = (): Section[] => [
  { name: 'meta', bytes: new TextEncoder().encode('{"name":"x"}') },
  { name: 'empty', bytes: new Uint8Array(0) },
  { name: 'module/0123 original', bytes: bytes(5000) },
  { name: 'pages', bytes: [bytes(10), bytes(4100), new Uint8Array(0), bytes(1)] },
];

test('what was written is read back, whole or in pieces of any size', () => {
  const sections = [...sample(), { name: 'large', bytes: bytes(ARCHIVE_PIECE_BYTES * 2 + 17) }];
  const file = written(sections);
  assert.deepEqual(file, written(sections), 'the same twice');
  const expected = sections.map(({ name, bytes: content }) => ({
    name,
    bytes: content instanceof Uint8Array ? content : join([...content]),
  }));
  assert.deepEqual(readArchive(file), expected);
  assert.deepEqual(readArchive(written([])), []);
  for (let round = 0; round < 5; round++) {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < file.length; ) {
      const length = random.below(round === 0 ? 50 : 40_000);
      pieces.push(file.slice(at, at + length));
      at += length;
    }
    const found: { name: string; pieces: Uint8Array[] }[] = [];
    for (const event of readArchiveStream(pieces)) {
      if ('section' in event) found.push({ name: event.section, pieces: [] });
      else found.at(-1)!.pieces.push(event.data.slice());
    }
    assert.deepEqual(
      found.map((section) => ({ name: section.name, bytes: join(section.pieces) })),
      expected,
    );
  }
});

const refused = (file: Uint8Array, what: string): MalformedError => {
  let found: unknown;
  assert.throws(
    () => readArchive(file),
    (error) => {
      found = error;
      return error instanceof MalformedError;
    },
    what,
  );
  const error = found as MalformedError;
  assert.ok(error.offset >= 0 && error.offset <= file.length, `${what}: offset ${error.offset}`);
  return error;
};

test('a file cut anywhere, or with anything after its end, is refused', () => {
  const file = written(sample());
  for (let length = 0; length < file.length; length += length < 400 ? 1 : 1 + random.below(60)) {
    refused(file.subarray(0, length), `cut to ${length}`);
  }
  refused(join([file, new Uint8Array(1)]), 'one byte more');
  refused(join([file, file]), 'twice');
});

test('every flipped bit is refused, at or before the place it is in', () => {
  const file = written(sample());
  for (let round = 0; round < 3000; round++) {
    const at = round < 600 ? round % file.length : random.below(file.length);
    const bit = 1 << random.below(8);
    file[at]! ^= bit;
    const { offset } = refused(file, `bit ${bit} of byte ${at}`);
    assert.ok(offset <= at || file.length - offset < 64, `byte ${at} was reported at ${offset}`);
    file[at]! ^= bit;
  }
  readArchive(file);
});

test('pieces that were swapped, doubled or left out are refused', () => {
  const a = bytes(100);
  const pieces = [...writeArchive([{ name: 's', bytes: [a, bytes(100), bytes(100)] }])];
  const order = (...list: number[]): Uint8Array => join(list.map((i) => pieces[i]!));
  readArchive(order(0, 1, 2, 3, 4, 5));
  for (const list of [
    [0, 1, 3, 2, 4, 5],
    [0, 1, 2, 2, 3, 4, 5],
    [0, 1, 2, 4, 5],
    [0, 2, 3, 4, 5],
    [0, 1, 2, 3, 4],
    [1, 2, 3, 4, 5],
  ]) {
    refused(order(...list), list.join());
  }
});

test('random bytes, with and without a proper head, are refused and nothing else is thrown', () => {
  const head = written([]).subarray(0, 24);
  for (let round = 0; round < 2000; round++) {
    const tail = bytes(random.below(200));
    if (random.chance(0.5)) tail[0] = random.pick([0x53, 0x44, 0x45]);
    refused(round % 2 ? tail : join([head, tail]), `round ${round}`);
  }
});

test('a newer version is refused as such', () => {
  const file = written(sample());
  assert.throws(
    () => readArchive(new TextEncoder().encode('#!/bin/sh\necho this is something else')),
    /not a domain/,
  );
  // its head with its own checksum, as a newer one would write it
  const newer = join([...writeArchive([], 2)]);
  assert.throws(() => readArchive(newer), UnsupportedError);
  assert.throws(() => readArchive(newer), /newer Perdure: version 2/);
  assert.equal(readArchive(file).length, 4);
});

test('pages go through a section and come back by rising number', () => {
  const pages = [0, 3, 4_000_000].map((page) => ({ page, bytes: bytes(4096) }));
  const [section] = readArchive(written([{ name: 'pages', bytes: pagePieces(pages) }]));
  assert.deepEqual([...readPagePieces(section!.bytes)], pages);
  assert.throws(() => [...readPagePieces(section!.bytes.subarray(1))], MalformedError);
  const twice = join([section!.bytes, section!.bytes]);
  assert.throws(() => [...readPagePieces(twice)], /page 0 comes after page 4000000/);
});
