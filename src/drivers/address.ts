/** Addresses of sockets as users write them, and servers that listen on them. */
import * as fs from 'node:fs';
import * as net from 'node:net';
import { EnvironmentError } from '../base/errors.ts';

/** Where to listen or connect to: a name or number and a port, or the path of a Unix socket. */
export type Address = { readonly host: string; readonly port: number } | { readonly path: string };

/** `host:port`, `[v6]:port`, or `unix:PATH`; undefined where it is none of them. */
export function parseAddress(text: string): Address | undefined {
  if (text.startsWith('unix:')) return text.length > 5 ? { path: text.slice(5) } : undefined;
  const parts = /^(?:\[([^\]]+)\]|([^:]*)):(\d{1,5})$/.exec(text);
  const port = Number(parts?.[3]);
  if (parts === null || port > 65535) return undefined;
  return { host: parts[1] ?? parts[2] ?? '', port };
}

/** As users write it. */
export function textOf(address: Address): string {
  return 'path' in address ? `unix:${address.path}` : `${address.host}:${address.port}`;
}

/** A process that was killed leaves the file of its Unix socket behind; nobody answers there. */
export function removeDeadSocket(path: string): Promise<void> {
  return new Promise((resolve) => {
    const probe = net.connect(path, () => {
      probe.destroy();
      resolve();
    });
    probe.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNREFUSED') resolve();
      else fs.unlink(path, () => resolve());
    });
  });
}

/** A server that listens. @throws EnvironmentError */
export function bound(address: Address): Promise<net.Server> {
  return new Promise((resolve, reject) => {
    const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const hint = cause.code === 'EADDRINUSE' ? 'end what listens there, or take another port' : '';
      reject(
        new EnvironmentError('no-listen', `cannot listen on ${textOf(address)}: ${cause.message}`, hint, {
          cause,
        }),
      );
    });
    // An empty host is every address of this machine.
    const { host, ...rest } = { host: '', ...address };
    server.listen(host === '' ? rest : { ...rest, host }, () => resolve(server));
  });
}
