/**
 * Error numbers that programs see, as wasi_snapshot_preview1 defines them (16 bits, zero is success), and those of
 * Perdure's own calls, from 128 on. They are plain
 * numbers passed by value: never thrown, never mixed with the exceptions of base/errors.ts. Ports and the file tree
 * give them back negative where a call's good results are not negative (bytes moved, an object's id).
 */
export const ERRNO = {
  SUCCESS: 0,
  TOOBIG: 1,
  ACCES: 2,
  ADDRINUSE: 3,
  ADDRNOTAVAIL: 4,
  AFNOSUPPORT: 5,
  AGAIN: 6,
  ALREADY: 7,
  BADF: 8,
  BADMSG: 9,
  BUSY: 10,
  CANCELED: 11,
  CHILD: 12,
  CONNABORTED: 13,
  CONNREFUSED: 14,
  CONNRESET: 15,
  DEADLK: 16,
  DESTADDRREQ: 17,
  DOM: 18,
  DQUOT: 19,
  EXIST: 20,
  FAULT: 21,
  FBIG: 22,
  HOSTUNREACH: 23,
  IDRM: 24,
  ILSEQ: 25,
  INPROGRESS: 26,
  INTR: 27,
  INVAL: 28,
  IO: 29,
  ISCONN: 30,
  ISDIR: 31,
  LOOP: 32,
  MFILE: 33,
  MLINK: 34,
  MSGSIZE: 35,
  MULTIHOP: 36,
  NAMETOOLONG: 37,
  NETDOWN: 38,
  NETRESET: 39,
  NETUNREACH: 40,
  NFILE: 41,
  NOBUFS: 42,
  NODEV: 43,
  NOENT: 44,
  NOEXEC: 45,
  NOLCK: 46,
  NOLINK: 47,
  NOMEM: 48,
  NOMSG: 49,
  NOPROTOOPT: 50,
  NOSPC: 51,
  NOSYS: 52,
  NOTCONN: 53,
  NOTDIR: 54,
  NOTEMPTY: 55,
  NOTRECOVERABLE: 56,
  NOTSOCK: 57,
  NOTSUP: 58,
  NOTTY: 59,
  NXIO: 60,
  OVERFLOW: 61,
  OWNERDEAD: 62,
  PERM: 63,
  PIPE: 64,
  PROTO: 65,
  PROTONOSUPPORT: 66,
  PROTOTYPE: 67,
  RANGE: 68,
  ROFS: 69,
  SPIPE: 70,
  SRCH: 71,
  STALE: 72,
  TIMEDOUT: 73,
  TXTBSY: 74,
  XDEV: 75,
  NOTCAPABLE: 76,
  // From here on Perdure's own (abi/objects.ts).
  /** The capability was revoked, or what it was derived from. */
  REVOKED: 128,
  /** The object is no more, or whoever serves it: deleted, ended, carried away. */
  GONE: 129,
  /** What was called ended in a trap or an exception. */
  FAULTED: 130,
  /** What was called is suspended. */
  STOPPED: 131,
  /** The call would enter a domain again that does not allow it. */
  REENTERED: 132,
  /** Calls, or capabilities derived of one another, are nested too deep. */
  DEPTH: 133,
  /** Someone has frozen what would be written. */
  FROZEN: 134,
  /** It stayed behind when the program was carried here from another space, and has not been granted again. */
  LEFT: 135,
} as const;

/** One of the numbers above. */
export type Errno = (typeof ERRNO)[keyof typeof ERRNO];

const TEXTS: Readonly<Record<number, string>> = {
  [ERRNO.REVOKED]: 'what was granted has been revoked',
  [ERRNO.GONE]: 'whoever offers it is no more',
  [ERRNO.FAULTED]: 'it ended in a trap or an exception',
  [ERRNO.STOPPED]: 'whoever offers it is suspended',
  [ERRNO.REENTERED]: 'it would enter a program that is waiting for this call',
  [ERRNO.DEPTH]: 'calls are nested too deep',
  [ERRNO.LEFT]: 'it stayed behind when the program was carried here, and has not been granted again',
  [ERRNO.NOTCAPABLE]: 'what was granted does not allow it',
};

/** An error number for people. */
export function errnoText(value: number): string {
  return TEXTS[value] ?? errnoName(value);
}

/** The name of an error number, such as "NOENT", for messages and tests; the number itself where it has none. */
export function errnoName(value: number): string {
  for (const [name, number] of Object.entries(ERRNO)) if (number === value) return name;
  return String(value);
}
