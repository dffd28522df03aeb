/**
 * Every code that an `EnvironmentError` can have, and what it says. Codes are for scripts and are not renamed; messages are
 * for people and may change. A test holds the table to what the sources throw (base/codes.test.ts).
 */

/** What each code of an `EnvironmentError` says, as a sentence. */
export const ENVIRONMENT_CODES = {
  // The space's folder and its store.
  'store-missing': 'There is no space in the folder, and none was to be made.',
  'store-foreign': 'The folder holds something that is not a space.',
  'store-damaged': 'Something in the space does not match its checksum, or is missing. Nothing was changed.',
  'store-newer': 'The space was written by a newer version of Perdure.',
  'store-busy': 'Another process has the space open; the message says which.',
  'store-full': 'The disk has no room for a checkpoint.',
  'store-failed': 'The disk refused a write, for another reason than want of room.',
  'store-host': 'The operating system does not let the folder be used.',
  'space-full': 'The space has no room for what was to be made.',
  closed: 'The space was closed before the answer came.',
  'old-node': 'Perdure needs a later Node.',
  // Programs and domains.
  'no-program': 'There is no such file to run.',
  'not-a-program': 'The file or bytes are no program that can be started.',
  'missing-program': 'The code of a program in the space is not at hand.',
  'unknown-imports':
    'The program imports what nobody supplies, or not to a process of its own; the message names it.',
  'bad-gate': 'The program exports a procedure under a name that says what cannot be.',
  'unfit-program': 'The program was compiled without what a domain needs.',
  'not-granted': 'The program wants something that it was not granted.',
  'no-compiler': 'The program wants the compiler, which it cannot have here.',
  'no-processes': 'The program cannot have a process of its own here.',
  'bad-mapping': 'A segment cannot be mapped into a program as it was wanted.',
  'bad-reference':
    'A sturdy reference stands for nothing: it is malformed, revoked, forgotten, or its object is gone.',
  'too-many-grants': 'More was granted than one program can hold.',
  'over-limit': 'The program has more than it may have here.',
  'memory-limit': 'The program needs more memory from the beginning than its limit.',
  'bad-name': 'A name of a program has characters that it may not have, or too many.',
  'name-taken': 'There is a program of that name.',
  'bad-argument': 'A value is not what is wanted there, or cannot be handed to a program.',
  'no-such-export': 'The program exports nothing of that name that can be called.',
  'reference-result': 'A result is a reference, which cannot leave the program.',
  'no-such-domain': 'There is no program of that name in the space, or it was removed.',
  'no-capability': 'A capability was revoked, or what it is to is gone.',
  'not-served': 'Nothing has been served under a name.',
  'not-writable': 'A segment is sealed, or a program has frozen it.',
  'unreadable-segment': 'The bytes of a segment come from a file that has changed, or cannot be read.',
  'not-held': 'A capability was used after it had been let go.',
  'no-such-file': 'The folder of a program has no such file.',
  'not-followed': 'Input was fed to a program that is not followed.',
  running: 'The program has not ended, and only one that has can be removed unless forced.',
  ended: 'The program has ended.',
  trapped: 'The program trapped before it began.',
  'cannot-save': 'The program holds something that cannot be kept.',
  'archive-newer': 'The archive was written by a newer version of Perdure.',
  // What is granted of the host.
  'no-folder': 'A folder of the host cannot be granted.',
  'no-such-folder': 'The program was granted no folder of that name.',
  'no-proc': 'The host has no /proc, without which its folders cannot be granted.',
  'no-listen': 'An address cannot be listened on.',
  'no-connection': 'Nobody answers at an address.',
  // The command line, and other processes.
  usage: 'A command or an option was used wrongly.',
  read: 'A file of the host cannot be read.',
  write: 'A file of the host cannot be written.',
  background: 'The process in the background did not begin.',
  'owner-gone': 'The process that owned the space went away before it answered.',
  'owner-silent': 'The process that owns the space does not answer.',
  'client-gone': 'The process that had asked went away.',
  control: 'Two processes of Perdure did not understand each other.',
  tools: "A tool of Perdure's own development lacks something.",
} as const;

/** A code of an `EnvironmentError`. */
export type EnvironmentCode = keyof typeof ENVIRONMENT_CODES;

/** Whether a text is one of the codes. */
export function isEnvironmentCode(text: string): text is EnvironmentCode {
  return Object.hasOwn(ENVIRONMENT_CODES, text);
}
