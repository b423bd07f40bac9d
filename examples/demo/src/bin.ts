import { main } from './main.ts';

const interrupt = new AbortController();
process.once('SIGINT', () => interrupt.abort(new Error('interrupted')));

main(process.argv.slice(2), {
  stdout: (text) => process.stdout.write(text),
  env: process.env,
  signal: interrupt.signal,
}).then((code) => {
  process.exitCode = code;
});
