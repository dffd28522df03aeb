/**
 * Perdure as a library: a space in this process, its programs, and their ends.
 *
 *     import { Space } from 'perdure';
 *
 *     await using space = await Space.open('my-space');
 *     const program = await readFile('hello.wasm');
 *     const domain = await space.spawn(program, { arguments: ['hello'], stdout: (bytes) => { ... } });
 *     const { exitCode } = await domain.ended();
 *
 * Kill this process at any moment; `Space.open` on the same folder goes on with every program from where it was. Every
 * promise here resolves when what it tells is durable, so what you have been told stays true.
 *
 * Errors are classes with a `code`: `EnvironmentError` for what cannot be done (its codes are `ENVIRONMENT_CODES`, its
 * `hint` is for people), `MalformedError`, `UnsupportedError` and `RefusedError` (with a byte offset) for programs and
 * archives that are refused, `TrapError` for programs that were ended. An `AssertionError` is a bug of Perdure. What
 * programs see of their own mistakes is numbers, `ERRNO`. One process opens a space at a time.
 *
 * Waiting can be given up with an AbortSignal; what owns something can be declared with `await using`.
 *
 * @module
 */
export { ERRNO, type Errno, errnoName } from './abi/errno.ts';
export { AssertionError } from './base/assert.ts';
export { ENVIRONMENT_CODES, type EnvironmentCode } from './base/codes.ts';
export { EnvironmentError, MalformedError, RefusedError, UnsupportedError } from './base/errors.ts';
export type {
  AccountReport,
  CallFrame,
  CapabilityReport,
  DirGrant,
  DomainState,
  DomainSummary,
  ExitReport,
  FilesReport,
  FrameReport,
  GrantName,
  Inspection,
  Isolation,
  MappingReport,
  ReachedReport,
  RemoveOptions,
  RightName,
  SpaceEvent,
  StackReport,
  ValueReport,
  VisitReport,
} from './cli/types.ts';
export { type CallArgument, CallError, type CallReturn, type ProcedureFunction } from './library/call.ts';
export { Capability, type DeriveOptions, type Grant, type Grantable } from './library/capability.ts';
export { Domain, Following } from './library/domain.ts';
export { type EventOptions, EventStream, type MissedEvents } from './library/events.ts';
export type {
  ImportOptions,
  InstallOptions,
  Mappable,
  OutputCallback,
  Program,
  SpaceOptions,
  SpawnOptions,
} from './library/options.ts';
export { Segment } from './library/segment.ts';
export { Served, type ServeOptions } from './library/serve.ts';
export {
  type Awaitable,
  GuestError,
  type OpenHow,
  type RequestContext,
  type ServedAttributes,
  type ServedChange,
  type ServedEntry,
  type ServedFile,
  type ServedFolder,
  type ServedObject,
  type ServedPlace,
  type ServedStream,
  type ServedType,
} from './library/served-object.ts';
export type { Abortable } from './library/signal.ts';
export { Space } from './library/space.ts';
export { TrapError } from './library/trap.ts';
