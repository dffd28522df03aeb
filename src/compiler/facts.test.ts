import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Facts } from './facts.ts';

const TERM = 7;
const LOCAL = 40;

function learned(): Facts {
  const facts = new Facts(false);
  facts.reset();
  facts.learn(1, TERM, 12, 8, LOCAL);
  facts.mark(1, TERM, 4096);
  return facts;
}

test('an anchor belongs to its term and memory', () => {
  const facts = learned();
  assert.equal(facts.find(1, TERM)?.known, 8);
  assert.equal(facts.find(0, TERM), undefined);
  assert.equal(facts.find(1, TERM + 1), undefined);
});

test('a mark covers its page and its neighbours, and ends at a safepoint while the anchor stays', () => {
  const facts = learned();
  const marked = (at: number, size: number): boolean => facts.isMarked(facts.find(1, TERM)!, at, size);
  assert.ok(marked(0, 8));
  assert.ok(marked(8185, 8));
  assert.ok(!marked(8186, 8));
  facts.safepoint();
  assert.ok(!marked(4096, 1));
  assert.equal(facts.find(1, TERM)?.known, 8);
});

test('what is learnt in a construct is forgotten where ways meet behind it, and kept where there is one', () => {
  const facts = learned();
  facts.open();
  facts.learn(0, TERM, 0, 4, 41);
  facts.learn(1, TERM, 12, 100, LOCAL);
  facts.otherArm();
  assert.equal(facts.find(0, TERM), undefined, 'what one arm learnt the other does not know');
  assert.equal(facts.find(1, TERM)?.known, 8);
  facts.learn(0, TERM, 0, 4, 41);
  facts.close(true);
  assert.equal(facts.find(0, TERM), undefined);
  facts.open();
  facts.learn(0, TERM, 0, 4, 41);
  facts.close(false);
  assert.equal(facts.find(0, TERM)?.known, 4);
});

test('a local is free for another anchor only when none, put by or known, needs it', () => {
  const facts = learned();
  facts.open();
  facts.learn(1, TERM, 0, 4, 41);
  assert.equal(facts.spareLocal(), -1, 'the anchor outside is only put by');
  facts.close(true);
  assert.equal(facts.find(1, TERM)?.local, LOCAL);
  assert.equal(facts.spareLocal(), 41);
  assert.equal(facts.spareLocal(), -1);
});

test('a mark made in a construct does not outlive it', () => {
  const facts = learned();
  facts.safepoint();
  facts.open();
  facts.mark(1, TERM, 0);
  facts.close(true);
  assert.ok(!facts.isMarked(facts.find(1, TERM)!, 0, 1));
});
