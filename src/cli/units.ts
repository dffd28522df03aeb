/**
 * Sizes and times as people write and read them. Parsing is strict: what is not plainly a size is refused, with an
 * example of one.
 */
import { EnvironmentError } from '../base/errors.ts';

const SIZE_UNITS: Record<string, number> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 };
const TIME_UNITS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** '256M' → bytes. Units K, M, G (binary), case does not matter, an `iB` or `B` may follow. */
export function parseSize(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?$/i.exec(text);
  const bytes = match ? Math.floor(Number(match[1]) * SIZE_UNITS[match[2]!.toLowerCase()]!) : 0;
  if (bytes < 1 || !Number.isSafeInteger(bytes)) {
    throw new EnvironmentError('usage', `--${option}: "${text}" is not a size`, 'write it like 64M or 1G');
  }
  return bytes;
}

/** '1.5s' → milliseconds. Units ms, s, m, h; a bare number is seconds. */
export function parseTime(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|)$/i.exec(text);
  const ms = match ? Number(match[1]) * TIME_UNITS[match[2]!.toLowerCase() || 's']! : 0;
  if (!(ms > 0) || !Number.isFinite(ms)) {
    throw new EnvironmentError(
      'usage',
      `--${option}: "${text}" is not a time`,
      'write it like 500ms, 10s or 2m',
    );
  }
  return ms;
}

/** 1536 → '1.5 KiB'. */
export function showSize(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < 4) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][unit]}`;
}

/** 61500 → '1m01s'; 1500 → '1.5s'; 12 → '12ms'. */
export function showTime(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.floor(ms / 1000);
  const two = (value: number) => String(value).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  return `${Math.floor(seconds / 3600)}h${two(Math.floor(seconds / 60) % 60)}m`;
}
