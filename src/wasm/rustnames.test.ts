import assert from 'node:assert/strict';
import { test } from 'node:test';
import { demangled } from './rustnames.ts';

test('names of Rust are written as in its sources, and all others left as they are', () => {
  const hash = '17h0123456789abcdefE';
  assert.equal(demangled(`_ZN4core9panicking5panic${hash}`), 'core::panicking::panic');
  assert.equal(
    demangled(`_ZN48_$LT$core..fmt..Error$u20$as$u20$core..Debug$GT$3fmt${hash}`),
    '<core::fmt::Error as core::Debug>::fmt',
  );
  assert.equal(
    demangled(`_ZN3std2rt10lang_start28_$u7b$$u7b$closure$u7d$$u7d$${hash}`),
    'std::rt::lang_start::{{closure}}',
  );
  for (const name of [
    'main',
    '_ZN3foo3barE',
    '_ZN99main',
    '_ZN',
    `_ZN4co${hash}`,
    `_ZNx${hash}`,
    '_RNvC1a1f',
    '',
  ]) {
    assert.equal(demangled(name), name);
  }
});
