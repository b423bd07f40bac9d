/** Nanoseconds of the units Go writes durations in. The letter before `s` is a u, the micro sign or the Greek mu. */
const UNITS: Readonly<Record<string, number>> = {
  ...{ ns: 1, us: 1e3, '\u00b5s': 1e3, '\u03bcs': 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 },
};
/** Go counts nanoseconds in 64 bits. */
const MOST = 2 ** 63;
const LEAST = 1e6;

/**
 * Tells what is wrong with a duration as HEALTHCHECK takes it: `1h30m`, `1.5s`, `0`; at least a millisecond, or nothing.
 *
 * @returns undefined for one that is right
 * @see Go, `time.ParseDuration`; BuildKit, `parseOptInterval`
 */
export function durationProblem(text: string): string | undefined {
  const sign = /^[+-]/.exec(text)?.[0] ?? '';
  let rest = text.slice(sign.length);
  if (rest === '0') return undefined;
  if (rest === '') return 'is no duration';
  let sum = 0;
  while (rest !== '') {
    const [number = '', whole = '', part] = /^(\d*)(?:\.(\d*))?/.exec(rest) ?? [];
    const unit = /^[^\d.]+/.exec(rest.slice(number.length))?.[0] ?? '';
    if ((whole === '' && (part ?? '') === '') || !Object.hasOwn(UNITS, unit)) return 'is no duration';
    sum +=
      Number(`${whole === '' ? '0' : whole}.${part === undefined || part === '' ? '0' : part}`) *
      UNITS[unit]!;
    if (!(sum < MOST)) return 'is too long a duration';
    rest = rest.slice(number.length + unit.length);
  }
  const isNone = Math.trunc(sum) === 0;
  return !isNone && (sign === '-' || sum < LEAST) ? 'is less than a millisecond' : undefined;
}
