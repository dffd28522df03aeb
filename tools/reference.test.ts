/** The API reference can be made, and every exported name says what it is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasTypeDoc, makeReference } from './reference.ts';

test('every name that the library exports has a docstring, and its links lead somewhere', (t) => {
  if (!hasTypeDoc()) {
    assert(!process.env.CI, 'npm ci brings TypeDoc');
    return t.skip('TypeDoc is not installed: npm ci');
  }
  const { said, status } = makeReference(true);
  assert.equal(status, 0, said);
  assert.doesNotMatch(said, /warning|error\]/);
});
