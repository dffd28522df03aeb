import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Facts } from './facts.ts';

function learned(): Facts {
  const facts = new Facts();
  facts.reset(2);
  facts.learn(3, 1, 8);
  facts.mark(3, 1, 4096);
  return facts;
}

test('a check covers shorter accesses of the same local and memory only', () => {
  const facts = learned();
  assert.ok(facts.isChecked(3, 1, 8));
  assert.ok(facts.isChecked(3, 1, 4));
  assert.ok(!facts.isChecked(3, 1, 9));
  assert.ok(!facts.isChecked(3, 0, 4));
  assert.ok(!facts.isChecked(2, 1, 4));
});

test('a mark covers its page and its neighbours, and ends at a safepoint while checks stay', () => {
  const facts = learned();
  assert.ok(facts.isMarked(3, 1, 0, 8));
  assert.ok(facts.isMarked(3, 1, 8185, 8));
  assert.ok(!facts.isMarked(3, 1, 8186, 8));
  facts.safepoint();
  assert.ok(!facts.isMarked(3, 1, 4096, 1));
  assert.ok(facts.isChecked(3, 1, 8));
});

test('a local that is set again is unknown, also behind the construct in which it was set', () => {
  const facts = learned();
  facts.open(false);
  facts.learn(4, 0, 4);
  facts.assign(3);
  assert.ok(!facts.isChecked(3, 1, 1));
  facts.otherArm();
  assert.ok(!facts.isChecked(4, 0, 4), 'what one arm learnt the other does not know');
  facts.close();
  assert.ok(!facts.isChecked(3, 1, 1));
});

test('nothing is known at the head of a loop nor behind it', () => {
  const facts = learned();
  facts.open(false);
  facts.open(true);
  assert.ok(!facts.isChecked(3, 1, 1));
  facts.close();
  facts.close();
  assert.ok(!facts.isChecked(3, 1, 1));
});

test('a safepoint within a construct ends the marks made before it', () => {
  const facts = learned();
  facts.open(false);
  facts.safepoint();
  facts.close();
  assert.ok(!facts.isMarked(3, 1, 4096, 1));
  assert.ok(facts.isChecked(3, 1, 8));
});
