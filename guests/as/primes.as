// Counts primes up to a limit in a growing array, printing a line for every thousandth: `primes [COUNT]` (20000).
// A program with a heap of its own that grows.
import { argument, endLine, number, text } from "./wasi";

export function _start(): void {
  const wanted = argument(1, 20000);
  const primes = new Array<u32>();
  let sum: u64 = 0;
  for (let n: u32 = 2; primes.length < wanted; n++) {
    let prime = true;
    for (let i = 0; i < primes.length; i++) {
      const p = primes[i];
      if (p * p > n) break;
      if (n % p == 0) {
        prime = false;
        break;
      }
    }
    if (!prime) continue;
    primes.push(n);
    sum = sum * 31 + n;
    if (primes.length % 1000 == 0) {
      number(primes.length, 6);
      text(". prime ");
      number(n);
      text(", sum ");
      number(sum);
      endLine();
    }
  }
}
