/** What can be granted to a domain: plain descriptions, for whoever makes one. */
import type { Held } from '../../kernel/capability/capabilities.ts';

/**
 * What a domain is given beside its streams. Descriptors are numbered from 3 in the order of the list; programs made
 * with wasi-libc look for directories from 3 on and stop at the first that is none, so directories come first.
 */
export type Grant =
  /** A folder of the space's tree, made where it is not there, under a name of the guest's. */
  | { readonly kind: 'tree'; readonly path: string; readonly guest: string; readonly readOnly?: boolean }
  /** A folder of the host: the id of its HostDirectory. */
  | { readonly kind: 'host'; readonly id: number; readonly guest: string; readonly readOnly?: boolean }
  /** A listening or a connected socket: its id. */
  | { readonly kind: 'listener'; readonly id: number }
  | { readonly kind: 'socket'; readonly id: number }
  /**
   * What a domain serves: a folder under a name of the guest's, or a stream, as one of its standard streams (`fd` 0, 1, 2)
   * or the next descriptor.
   */
  | (Held & { readonly kind: 'served'; readonly guest: string; readonly readOnly?: boolean })
  | (Held & { readonly kind: 'stream'; readonly fd?: 0 | 1 | 2 });

/**
 * The name of a domain's own folder in /home: the domain's, with what a name in the tree cannot have (or would mean
 * something else there) written as %xx.
 */
export function homeName(domainName: string): string {
  if (/^\.{1,2}$/.test(domainName)) return domainName.replaceAll('.', '%2e');
  return domainName.replaceAll('%', '%25').replaceAll('/', '%2f');
}

/** The folder a domain gets when nobody says otherwise: its own, as the root of what it sees. */
export function homeOf(domainName: string): Grant {
  return { kind: 'tree', path: `/home/${homeName(domainName)}`, guest: '/' };
}
