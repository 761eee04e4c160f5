// Numbers, money and times as people read them. Money comes in nano-dollars.

const LOCALE = "en-US";
const cache = new Map();

function number(value, digits) {
  if (!cache.has(digits)) {
    const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    cache.set(digits, new Intl.NumberFormat(LOCALE, options));
  }
  return cache.get(digits).format(value);
}

export const count = (value) => number(value, 0);

/** As many digits as the amount needs to say something, never fewer than cents. */
export function money(nano) {
  if (!nano) return "$0";
  const usd = Math.abs(nano) / 1e9;
  const digits = usd >= 10_000 ? 0 : usd >= 1 ? 2 : usd >= 0.01 ? 4 : 6;
  const least = 0.000001;
  const text = usd < least ? `<$${number(least, 6)}` : `$${number(usd, digits)}`;
  return nano < 0 ? `−${text}` : text;
}

/** To the nano-dollar, for those who look closer. */
export const exactly = (nano) => `$${number(nano / 1e9, 9)}`;

/** A part of a whole; nothing is not 0 %. */
export function share(part, whole, digits = 1) {
  if (!whole) return "–";
  const percent = (100 * part) / whole;
  if (part > 0 && percent < 0.1) return "<0.1 %";
  // What is not all must not be rounded up to it.
  if (part < whole && percent > 99.9) return ">99.9 %";
  return `${number(percent, percent === 100 || percent === 0 ? 0 : digits)} %`;
}

export function millis(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms >= 60_000) return `${number(ms / 60_000, 1)} min`;
  if (ms >= 1000) return `${number(ms / 1000, ms >= 10_000 ? 1 : 2)} s`;
  return `${number(ms, ms >= 100 ? 0 : ms >= 10 ? 1 : 2)} ms`;
}

export function times(factor) {
  return `${number(factor, factor >= 10 ? 0 : 1)}×`;
}

export function bytes(value) {
  if (value >= 2 ** 30) return `${number(value / 2 ** 30, 2)} GiB`;
  if (value >= 2 ** 20) return `${number(value / 2 ** 20, 1)} MiB`;
  return `${number(value / 1024, value ? 1 : 0)} KiB`;
}

/** Tokens and the like, short. */
export function short(value) {
  if (value < 10_000) return count(value);
  if (value < 1e6) return `${number(value / 1e3, value < 1e5 ? 1 : 0)} k`;
  if (value < 1e9) return `${number(value / 1e6, value < 1e8 ? 2 : 1)} M`;
  return `${number(value / 1e9, 2)} bn`;
}

export function duration(seconds) {
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min` : `${Math.floor(seconds)} s`;
}

/** 14:03:59, in UTC as the ledger's days are. */
export const clock = (time) => new Date(time).toISOString().slice(11, 19);

const dayOptions = { day: "numeric", month: "short", timeZone: "UTC" };
export const day = (time) => new Date(time).toLocaleDateString("en-GB", dayOptions);

export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;
