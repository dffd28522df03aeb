/**
 * Objects of the host: what a port gives (kernel/ports.ts), reached by a capability. Which one is the two numbers of an
 * object: HOST in `b`, and `a` is a port object's id, or the domain and stream.
 *
 * A call on a port never blocks: where it says WOULD_BLOCK the operation waits until the driver wakes its domain.
 */
import { ERRNO } from '../../abi/errno.ts';
import { OBJECT, RIGHT, RIGHTS_ALL } from '../../abi/objects.ts';
import { ATTRIBUTES_BYTES, OPERATION, OPTION } from '../../abi/ring.ts';
import { TRANSFER_MAX_BYTES } from '../../base/limits.ts';
import type { Held } from '../capability/capabilities.ts';
import type { Core } from '../core.ts';
import {
  FILE_TYPE,
  type HostDirectory,
  type HostFile,
  type HostStat,
  type Listener,
  type PortObject,
  type Ports,
  type Socket,
  type StreamObject,
  type Waitable,
  WOULD_BLOCK,
} from '../ports.ts';
import { decodeChange, encodeStat, plainStat } from './attributes.ts';
import { HostFolders } from './host-folders.ts';
import { HostServed } from './host-served.ts';
import { giveOpened } from './opened.ts';
import { AT_END, NO_OFFSET, type Operation } from './operation.ts';
import type { ObjectServer, Target } from './server.ts';

/** What a host object is. Numbers are part of the checkpoint. */
export const HOST = {
  /** `a` is the id of a port object. */
  port: 0,
  /** `a` is a domain's number times 4, plus which of its standard streams. */
  stream: 1,
  clock: 2,
  random: 3,
  /** `a` is the number of an object that whoever embeds the space serves. */
  served: 4,
  /** `a` is the number of the request by which one of those was opened (host-served.ts). */
  opened: 5,
} as const;

/** What a domain may be granted of the host. */
export type HostThing =
  | { readonly kind: 'port' | 'served'; readonly id: number }
  | { readonly kind: 'stream'; readonly domain: number; readonly which: 0 | 1 | 2 }
  | { readonly kind: 'clock' | 'random' };

/** How soon a question is asked again that the host could not answer at once, ns. */
const ASK_AGAIN_NS = 2_000_000n;
/** Most bytes gathered for one write to a file. */
const GATHER_BYTES = 1 << 20;

type Port = PortObject | StreamObject;

export class Hosts implements ObjectServer {
  readonly waits = true;
  readonly #core: Core;
  readonly #folders: HostFolders;
  readonly #served: HostServed;

  constructor(core: Core) {
    this.#core = core;
    this.#folders = new HostFolders(core);
    this.#served = new HostServed(core);
    core.objects.onEnd(OBJECT.host, (object) => {
      if (core.objects.b(object) === HOST.port) core.ports?.object(core.objects.a(object))?.close();
      else this.#served.ended(object);
    });
  }

  /** The first capability to something of the host, which whoever grants it passes on. @throws SpaceFullError */
  capability(thing: HostThing, rights = RIGHTS_ALL): Held {
    const { objects, capabilities } = this.#core;
    const a = 'id' in thing ? thing.id : 'which' in thing ? thing.domain * 4 + thing.which : 0;
    const capability = capabilities.root(objects.create(OBJECT.host, a, HOST[thing.kind]), rights);
    return { capability, turn: capabilities.turn(capability) };
  }

  attempt(op: Operation, target: Target): number {
    const { objects, ports } = this.#core;
    if (ports === null) return -ERRNO.GONE;
    const [a, b] = [objects.a(target.object), objects.b(target.object)];
    if (b === HOST.clock || b === HOST.random) return this.#source(op, b, ports);
    if (b === HOST.served || b === HOST.opened) {
      return ports.served === undefined ? -ERRNO.GONE : this.#served.attempt(op, target, ports.served);
    }
    const port = b === HOST.stream ? streamOf(ports, a) : ports.object(a);
    if (port === undefined) return -ERRNO.STALE;
    const result = this.#ask(op, port, target);
    if (result === WOULD_BLOCK && !waitable(port)) this.#core.rings.at(this.#core.now() + ASK_AGAIN_NS, op);
    return result;
  }

  /** The clock, of which 24 bytes can be read (realtime, monotonic time of the domain, resolution, ns); random bytes. */
  #source(op: Operation, which: number, ports: Ports): number {
    if (op.code !== OPERATION.read)
      return op.code === OPERATION.describe ? describe(op, plainStat(0)) : -ERRNO.NOTSUP;
    if (which === HOST.clock) {
      const times = new BigUint64Array(3);
      times[0] = ports.clock.realtimeNs();
      times[1] = this.#core.now() + (op.owner?.clockOffset ?? 0n);
      times[2] = ports.clock.resolutionNs;
      return op.fill(new Uint8Array(times.buffer));
    }
    let done = 0;
    op.pieces(1, (address, length) => {
      ports.random.fill(this.#core.space.u8.subarray(address, address + length));
      this.#core.space.mark(address, length);
      done += length;
      return true;
    });
    return done;
  }

  #ask(op: Operation, port: Port, target: Target): number {
    if (op.code === OPERATION.describe && port.kind !== 'directory') return describeFile(op, port);
    if (op.code === OPERATION.wait) return wait(op, port);
    switch (port.kind) {
      case 'directory':
        return this.#folders.attempt(op, port, target);
      case 'file':
        return op.code === OPERATION.map ? this.#map(op, port, target) : this.#file(op, port);
      case 'listener':
        return op.code === OPERATION.open ? this.#accept(op, port, target) : -ERRNO.NOTSUP;
      default:
        return this.#stream(op, port);
    }
  }

  #stream(op: Operation, port: StreamObject | Socket): number {
    const { code } = op;
    const reading = code === OPERATION.read;
    if (!reading && code !== OPERATION.write) return code === OPERATION.sync ? 0 : -ERRNO.NOTSUP;
    const { space } = this.#core;
    let [moved, failed] = [0, 0];
    op.pieces(1, (address, length) => {
      const view = space.u8.subarray(address, address + length);
      const got = reading
        ? port.kind === 'socket'
          ? port.receive(view, false)
          : port.read(view)
        : port.kind === 'socket'
          ? port.send(view)
          : port.write(view);
      if (reading && got > 0) space.mark(address, got);
      if (got < 0) failed = got;
      else moved += got;
      return got === length;
    });
    if (moved > 0 || failed === 0) return moved;
    if (failed === WOULD_BLOCK) port.subscribe(op.domain);
    return failed;
  }

  #accept(op: Operation, listener: Listener, target: Target): number {
    const result = giveOpened(this.#core, op, target, () => {
      const socket = listener.accept();
      if (typeof socket === 'number') return socket;
      const undo = (): void => socket.close();
      return { kind: OBJECT.host, a: socket.id, b: HOST.port, type: FILE_TYPE.socketStream, undo };
    });
    if (result === WOULD_BLOCK) listener.subscribe(op.domain);
    return result;
  }

  #file(op: Operation, file: HostFile): number {
    switch (op.code) {
      case OPERATION.read:
        return this.#read(op, file);
      case OPERATION.write:
        return this.#write(op, file);
      case OPERATION.sync:
        return file.sync(op);
      case OPERATION.change: {
        const change = decodeChange(op.bytes(2), op.options);
        if (change === null || op.firstLength > 0) return -ERRNO.INVAL;
        // One effect an operation: a size and times are two.
        if (change.size !== null && (change.accessedNs ?? change.modifiedNs) !== null) return -ERRNO.INVAL;
        return change.size !== null ? file.setSize(op, change.size) : file.setTimes(op, change);
      }
      default:
        return -ERRNO.NOTSUP;
    }
  }

  /** A segment of the client's own, whose bytes are read when they are touched. */
  #map({ owner, rights }: Operation, file: HostFile, target: Target): number {
    if (owner === null) return -ERRNO.GONE;
    if ((target.rights & RIGHT.read) === 0) return -ERRNO.NOTCAPABLE;
    const stat = file.stat();
    if (typeof stat === 'number') return stat;
    // Whether it may be read, and can be.
    const bad = file.read(new Uint8Array(1), 0);
    if (bad < 0) return bad;
    return this.#core.segments.createOver(owner, { ...target, stat }, rights === 0 ? RIGHTS_ALL : rights);
  }

  #read(op: Operation, file: HostFile): number {
    const { space } = this.#core;
    const start = op.offset;
    if (start < 0 || start > Number.MAX_SAFE_INTEGER - TRANSFER_MAX_BYTES) return -ERRNO.INVAL;
    let [moved, failed] = [0, 0];
    op.pieces(1, (address, length) => {
      const got = file.read(space.u8.subarray(address, address + length), start + moved);
      if (got > 0) space.mark(address, got);
      if (got < 0) failed = got;
      else moved += got;
      return got === length;
    });
    return moved > 0 ? moved : failed;
  }

  #write(op: Operation, file: HostFile): number {
    let start = op.offset;
    if (start === AT_END) start = file.size();
    if (start === NO_OFFSET || start > Number.MAX_SAFE_INTEGER - TRANSFER_MAX_BYTES) return -ERRNO.INVAL;
    if (start < 0) return start;
    const taken = file.write(op, op.copyGiven(0, GATHER_BYTES), start);
    if (taken >= 0 && op.offset === AT_END) op.value = BigInt(start + taken);
    return taken;
  }
}

const waitable = (port: Port): port is Port & Waitable => 'subscribe' in port;

function streamOf(ports: Ports, a: number): StreamObject {
  const { stdin, stdout, stderr } = ports.console(Math.floor(a / 4));
  return a % 4 === 0 ? stdin : a % 4 === 1 ? stdout : stderr;
}

export function describe(op: Operation, stat: HostStat): number {
  return op.room < ATTRIBUTES_BYTES ? -ERRNO.INVAL : op.fill(encodeStat(stat));
}

function describeFile(op: Operation, port: HostFile | Listener | Socket | StreamObject): number {
  if (op.firstLength > 0) return -ERRNO.NOTDIR;
  if (port.kind === 'stream') {
    return describe(op, plainStat(port.terminal ? FILE_TYPE.characterDevice : FILE_TYPE.unknown));
  }
  if (port.kind !== 'file') return describe(op, plainStat(FILE_TYPE.socketStream));
  const stat = port.stat();
  return typeof stat === 'number' ? stat : describe(op, stat);
}

/** What can be read or written of what was asked for: OPTION.read and write. */
function wait(op: Operation, port: HostDirectory | HostFile | Listener | Socket | StreamObject): number {
  const wanted = op.options & (OPTION.read | OPTION.write);
  if (wanted === 0) return -ERRNO.INVAL;
  if (!waitable(port)) return wanted;
  const { readable, writable, bytes, hangup } = port.ready();
  const ready = (readable || hangup ? OPTION.read : 0) | (writable || hangup ? OPTION.write : 0);
  op.value = BigInt(bytes);
  if ((ready & wanted) !== 0) return ready & wanted;
  port.subscribe(op.domain);
  return WOULD_BLOCK;
}
