/** Where things lie in the console's records in the space. */
import { DOMAIN_NAME_MAX_BYTES } from '../base/limits.ts';
import { OUTBOX_RECORD_BYTES } from '../kernel/outbox.ts';
import { RELEASER_RECORD_BYTES } from './release.ts';
import { STDIN_RECORD_BYTES } from './stdin.ts';

/**
 * The root record. `line1`, `line2`: the domain whose unfinished line a destination shows, 0 for none. `prefix`: lines
 * have names since several domains wrote.
 */
export const ROOT = {
  domains: 0,
  line1: 8,
  line2: 16,
  prefix: 24,
  outbox: 32,
  releaser: 32 + OUTBOX_RECORD_BYTES,
} as const;
export const ROOT_BYTES = ROOT.releaser + RELEASER_RECORD_BYTES;
export const DOMAIN = {
  next: 0,
  id: 8,
  flags: 16,
  nameBytes: 20,
  name: 24,
  outbox: 24 + DOMAIN_NAME_MAX_BYTES,
  stdin: 24 + DOMAIN_NAME_MAX_BYTES + OUTBOX_RECORD_BYTES,
} as const;
export const DOMAIN_BYTES = DOMAIN.stdin + STDIN_RECORD_BYTES;
export const DETACHED = 1;
export const ENDED = 2;
