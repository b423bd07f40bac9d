import { formatReference, ImagevetError } from '@imagevet/registry';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseDockerfile } from './parse-dockerfile.ts';
import { externalImages, finalStage, usedParameters } from './queries.ts';
import type { BaseName } from './types.ts';

const show = (name: BaseName | undefined) =>
  name?.kind === 'image'
    ? formatReference(name.reference)
    : name?.kind === 'stage'
      ? `stage ${name.stage}`
      : name?.kind === 'unresolved'
        ? `unresolved: ${name.reason}`
        : name?.kind;
const bases = (text: string, options = {}) =>
  parseDockerfile(text, options).stages.map(({ base }) => show(base));

describe('parseDockerfile() bases', () => {
  test.each([
    ['FROM php', ['docker.io/library/php:latest']],
    ['FROM php:7.2-apache', ['docker.io/library/php:7.2-apache']],
    ['from scratch', ['scratch']],
    [
      'FROM --platform=$BUILDPLATFORM golang:1 AS Build\nFROM build\nFROM BUILD',
      ['docker.io/library/golang:1', 'stage 0', 'stage 0'],
    ],
    ['ARG V=7.2\nFROM php:${V}-apache', ['docker.io/library/php:7.2-apache']],
    ['ARG A=1 B=2\nFROM x:$A.$B', ['docker.io/library/x:1.2']],
    ['ARG A=3.19\nARG B=alpine:${A}\nFROM $B', ['docker.io/library/alpine:3.19']],
    ['FROM x:${V:-9}', ['docker.io/library/x:9']],
    ['FROM x:${V-9}', ['docker.io/library/x:9']],
    ['ARG V=\nFROM x:${V:-9}', ['docker.io/library/x:9']],
    ['ARG V=1\nFROM x:${V:+yes}', ['docker.io/library/x:yes']],
    ['ARG V=v1.2.3\nFROM x:${V#v}', ['docker.io/library/x:1.2.3']],
    ['ARG V=1.2.3\nFROM x:${V%.*}', ['docker.io/library/x:1.2']],
    ['ARG V=1.2.3\nFROM x:${V%%.*}', ['docker.io/library/x:1']],
    ['ARG V=a.b.c\nFROM x:${V//./-}', ['docker.io/library/x:a-b-c']],
    ['FROM x-$TARGETARCH', ['docker.io/library/x-amd64:latest']],
    ['FROM "quoted:1"', ['docker.io/library/quoted:1']],
    ['FROM reg.example:5000/a/b:1', ['reg.example:5000/a/b:1']],
    ['FROM a\nARG V=2\nFROM x:${V:-global}', ['docker.io/library/a:latest', 'docker.io/library/x:global']],
    ['\ufeffFROM a', ['docker.io/library/a:latest']],
    [
      '# escape=`\nFROM a\nRUN dir c:\\\nFROM b',
      ['docker.io/library/a:latest', 'docker.io/library/b:latest'],
    ],
    ['FROM a\r\nRUN x \\\r\n  y\r\nFROM b\r\n', ['docker.io/library/a:latest', 'docker.io/library/b:latest']],
    [
      'FROM a\nRUN <<EOF\nFROM inside\nEOF\nFROM b',
      ['docker.io/library/a:latest', 'docker.io/library/b:latest'],
    ],
    ['FROM ${UNSET}', ['unresolved: ARG UNSET has no value']],
    ['FROM x:${UNSET}', ['unresolved: ARG UNSET has no value']],
    ['ARG V\nFROM x:$V', ['unresolved: ARG V has no value']],
    ['FROM ${V:?unset}', ['unresolved: V: unset']],
  ])('%j', (text, expected) => {
    expect(bases(text)).toEqual(expected);
  });

  test('build arguments win over defaults and are not expanded', () => {
    expect(bases('ARG V=1\nFROM x:$V', { buildArgs: { V: '2' } })).toEqual(['docker.io/library/x:2']);
  });

  test('build arguments win over the predefined ARGs, which know the stage', () => {
    const text = 'FROM x:$TARGETSTAGE AS one\nFROM y:$TARGETARCH';
    expect(bases(text)).toEqual(['docker.io/library/x:default', 'docker.io/library/y:amd64']);
    const options = { target: 'one', buildArgs: { TARGETARCH: 'mine' } };
    expect(bases(text, options)).toEqual(['docker.io/library/x:one', 'docker.io/library/y:mine']);
  });

  test('without a stage asked for, TARGETSTAGE is the name of the last one', () => {
    expect(bases('FROM x:$TARGETSTAGE AS one\nFROM y:$TARGETSTAGE AS Two')).toEqual([
      'docker.io/library/x:two',
      'docker.io/library/y:two',
    ]);
  });

  test('the stage that was asked for becomes the image, by name before number', () => {
    const text = 'FROM a AS one\nFROM b AS two\nFROM c AS one\nFROM d';
    const final = (target?: string) =>
      show(finalStage(parseDockerfile(text, target === undefined ? {} : { target })).base);
    expect([undefined, 'ONE', 'two', '0', '3'].map(final)).toEqual(
      ['d', 'c', 'b', 'a', 'd'].map((name) => `docker.io/library/${name}:latest`),
    );
    expect(() => final('none')).toThrow('it has no stage "none"');
    const read = parseDockerfile(text, { target: 'two' });
    expect(externalImages(read).map(({ name }) => show(name))).toEqual([
      'docker.io/library/b:latest',
      'docker.io/library/a:latest',
    ]);
  });

  test('of build arguments those reach a Dockerfile that it declares', () => {
    const read = parseDockerfile('ARG A=1\nFROM x:$A\nARG B C=2\nRUN y');
    const buildArgs = { C: '3', B: '2', D: '4', TARGETARCH: 'arm', BUILDKIT_SYNTAX: 'evil/frontend' };
    expect(usedParameters(read, { buildArgs })).toEqual({ buildArgs: { B: '2', C: '3', TARGETARCH: 'arm' } });
    expect(usedParameters(read, { buildArgs: { D: '1' } })).toBeUndefined();
    expect(usedParameters(read, { target: '0' })).toEqual({ target: '0' });
  });

  test('the platform decides the predefined ARGs', () => {
    const options = { platform: { os: 'linux', architecture: 'arm', variant: 'v7' } };
    expect(bases('FROM x:$TARGETARCH-$TARGETVARIANT', options)).toEqual(['docker.io/library/x:arm-v7']);
  });
});

describe('parseDockerfile() inputs and instructions', () => {
  const text = [
    '# syntax=docker/dockerfile:1',
    'FROM golang:1 AS build',
    'RUN --mount=type=cache,target=/x --mount=from=tools:2,target=/y go build \\',
    '  # a comment',
    '  && echo done',
    'FROM debian AS base',
    'FROM base',
    'COPY --link --chown=1:1 --from=build /a /b',
    'COPY --from=0 /a /c',
    'COPY --from=composer:2 /usr/bin/composer /usr/bin/',
    'COPY --from=$X /a /b',
    'COPY <<ONE <<-"TWO" /etc/',
    'first $HOME',
    'ONE',
    '\tsecond',
    'TWO',
    'CMD ["x"]',
  ].join('\n');
  const dockerfile = parseDockerfile(text);

  test('reads flags beside other flags, by stage, number and image', () => {
    expect(finalStage(dockerfile).inputs.map(({ name, startLine }) => [show(name), startLine])).toEqual([
      ['stage 0', 8],
      ['stage 0', 9],
      ['docker.io/library/composer:2', 10],
      ['unresolved: variables are not expanded here', 11],
    ]);
    expect(dockerfile.stages[0]?.inputs.map(({ kind, name }) => [kind, show(name)])).toEqual([
      ['mount-from', 'docker.io/library/tools:2'],
    ]);
  });

  test('joins continued lines, drops comments, keeps line numbers', () => {
    const [run] = dockerfile.stages[0]?.instructions ?? [];
    expect(run).toMatchObject({
      keyword: 'RUN',
      startLine: 3,
      endLine: 5,
      arguments: 'go build   && echo done',
    });
  });

  test('reads heredocs', () => {
    const copy = finalStage(dockerfile).instructions.find(({ heredocs }) => heredocs.length > 0);
    expect(copy?.heredocs).toEqual([
      { name: 'ONE', expand: true, content: 'first $HOME\n' },
      { name: 'TWO', expand: false, content: 'second\n' },
    ]);
  });

  test('lists the images it takes from outside, the base first', () => {
    expect(externalImages(dockerfile).map(({ kind, name }) => `${kind} ${show(name)}`)).toEqual([
      'base docker.io/library/debian:latest',
      'stage docker.io/library/golang:1',
      'mount-from docker.io/library/tools:2',
      'copy-from docker.io/library/composer:2',
      'copy-from unresolved: variables are not expanded here',
    ]);
    expect(dockerfile.syntax).toEqual({ text: 'docker/dockerfile:1', line: 1 });
  });
});

describe('parseDockerfile() refuses', () => {
  test.each([
    ['', 1],
    ['# only a comment', 1],
    ['RUN x\nFROM a', 1],
    ['FROM a\nFLY me', 2],
    ['FROM a b', 1],
    ['FROM a AS 9lives', 1],
    ['# escape=x\nFROM a', 1],
    ['# syntax=a\n# syntax=b\nFROM a', 2],
    ['FROM {{ .Base }}', 1],
    ['ARG A=1', 1],
  ])('%j at line %i', (text, line) => {
    expect(() => parseDockerfile(text)).toThrow(
      expect.objectContaining({ code: 'INVALID_DOCKERFILE', details: { line } }),
    );
  });
});

describe('parseDockerfile() on any text', () => {
  test('answers or throws an imagevet error', () => {
    const line = fc.oneof(
      fc.constantFrom(
        'FROM a',
        'FROM ${A:-b} AS c',
        'ARG A=1',
        'RUN <<E',
        'E',
        'COPY --from=0 a b',
        '\\',
        '# x',
        'RUN a \\',
        "RUN <<-'E F' <<${A:-b} \\",
        'COPY --fr\\om="0" --from=+1 a',
        'RUN --mount=type=bind,"from=a,b",from=$C',
        '# escape=`',
        '\u0085FROM \ufeffa\u00a0',
      ),
      fc.string({ maxLength: 40 }),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 12 }), (lines) => {
        try {
          parseDockerfile(lines.join('\n'));
        } catch (error) {
          if (!ImagevetError.is(error)) throw error;
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('parseDockerfile() like BuildKit, found by comparing', () => {
  const keywords = (text: string) => parseDockerfile(text).stages[0]?.instructions.map((own) => own.keyword);

  test('an escaped escape character does not continue a line', () => {
    expect(keywords('FROM x\nCOPY a C:\\\\\nENV A=1\n')).toEqual(['COPY', 'ENV']);
  });

  test('a line whose escape character stands alone is continued, and blanks may follow it', () => {
    expect(keywords('FROM x\nRUN a \\ \n\\\n\n  # why\n  b\nENV A=1\n')).toEqual(['RUN', 'ENV']);
  });

  test.each([
    ['FROM x\nENV A', 'ENV A has no value'],
    ['FROM x\nENV A=1 and B=2', 'ENV "and" has no ='],
    ['FROM x\nLABEL a', 'LABEL a has no value'],
    ['FROM x\nSHELL /bin/sh', 'SHELL takes a JSON list'],
    ['FROM x\nHEALTHCHECK', 'HEALTHCHECK without arguments'],
    ['ARG V=${a:b}\nFROM x', 'ARG V: unsupported modifier :b'],
    ['FROM x\nRUN <<END\nFROM y\n', 'heredoc "END" does not end'],
  ])('refuses %j', (text, message) => {
    expect(() => parseDockerfile(text)).toThrow(message);
  });

  test.each([
    'ENV A=two\\ words B="a \\" b" C=\'c:\\\' D=2',
    '# escape=`\nFROM x\nENV A=two` words',
    'LABEL "two words"=1 a=\\"\\ b',
  ])('takes escaped blanks and quotes as parts of their words: %j', (text) => {
    expect(keywords(text.startsWith('#') ? text : `FROM x\n${text}`)).toHaveLength(1);
  });

  test('takes a flag it does not know: newer frontends add them', () => {
    expect(keywords('FROM x\nRUN --later=1 make')).toEqual(['RUN']);
  });

  test.each([
    ['FROM x\nCOPY a', 'COPY takes a source and a destination'],
    ['FROM x\nCOPY ["a"]', 'COPY takes a source and a destination'],
    ['FROM x\nCOPY a <<END\nEND', 'COPY to a heredoc'],
    ['FROM x\nRUN ["a", 1]', 'the list of RUN holds something else than strings'],
    ['FROM x\nSHELL []', 'SHELL takes a JSON list'],
    ['FROM x\nVOLUME [""]', 'VOLUME without a path'],
    ['FROM x\nARG =1', 'ARG without a name'],
    ['FROM x\nENV =1', 'ENV without a name'],
    ['FROM x\nCMD --flag x', 'CMD takes no flag --flag'],
    ['FROM x\nCOPY --from=a --from=b c d', 'COPY takes --from once'],
    ['FROM x\nONBUILD FROM y', 'ONBUILD takes no ONBUILD, FROM or MAINTAINER'],
    ['FROM x\nHEALTHCHECK NONE x', 'HEALTHCHECK NONE takes no arguments'],
    ['FROM x\nHEALTHCHECK CMD', 'HEALTHCHECK CMD without a command'],
    ['FROM x\nHEALTHCHECK EXEC y', 'HEALTHCHECK of an unknown kind "EXEC"'],
    ['FROM x\n\\', 'unknown instruction ""'],
    ['FROM\u00a0x', 'unknown instruction'],
    ['{{ if .Slim }}\nFROM x', 'it is a template'],
  ])('refuses %j, too', (text, message) => {
    expect(() => parseDockerfile(text)).toThrow(message);
  });

  test.each(['RUN', 'CMD', 'ENTRYPOINT'])('takes %s without a command', (keyword) => {
    expect(keywords(`FROM x\n${keyword}`)).toEqual([keyword]);
  });

  test('a line that is continued by the last one ends there', () => {
    expect(parseDockerfile('FROM x\nRUN a \\\n  b \\\n').stages[0]?.endLine).toBe(3);
  });

  test.each([
    ['an escape within a flag', 'COPY --fr\\om=evil a b', 'copy-from docker.io/library/evil:latest'],
    ['quotes around a flag', 'COPY --from="evil" a b', 'copy-from docker.io/library/evil:latest'],
    ['half a character', 'COPY --chown=\u00e0--from=evil a b', 'copy-from docker.io/library/evil:latest'],
    ['a number with a sign', 'COPY --from=+0 a b', 'copy-from stage 0'],
    ['a stage after it', 'COPY --from=later a b', 'copy-from stage 2'],
    ['the last stage of a name', 'COPY --from=twice a b', 'copy-from stage 3'],
    ['nothing', 'COPY --from= a b', ''],
    [
      'a quoted field of a mount',
      'RUN --mount=\'"from=evil",target=/x\' make',
      'mount-from docker.io/library/evil:latest',
    ],
    [
      'the last of two fields',
      'RUN --mount=from=first,from=evil,target=/x make',
      'mount-from docker.io/library/evil:latest',
    ],
    ['a stage called scratch', 'COPY --from=scratch a b', 'copy-from stage 4'],
  ])('sees what a stage takes from another by %s', (_how, instruction, expected) => {
    const text = `FROM a AS twice\nFROM b\n${instruction}\nFROM c AS later\nFROM d AS twice\nFROM e AS scratch\nFROM scratch`;
    const { stages } = parseDockerfile(text);
    expect(stages[1]?.inputs.map(({ kind, name }) => `${kind} ${show(name)}`).join()).toBe(expected);
    expect(show(stages[5]?.base)).toBe('stage 4');
  });

  test('what is built holds the later stages that it takes from, and ends where they take from each other', () => {
    const text = 'FROM a AS one\nCOPY --from=two /x /x\nFROM b AS two\nCOPY --from=one /x /x\nFROM c';
    const images = externalImages(parseDockerfile(text, { target: 'one' }));
    expect(images.map(({ kind, name }) => `${kind} ${show(name)}`)).toEqual([
      'base docker.io/library/a:latest',
      'stage docker.io/library/b:latest',
    ]);
  });

  test.each([
    ["RUN echo it's <<END", ['RUN', 'ENV']],
    ['RUN echo ${a!b} <<END', ['RUN', 'ENV']],
    ['RUN cat <<- END', ['RUN', 'ENV']],
    ['RUN cat <<END${X:-}', ['RUN', 'ENV']],
    ['RUN ["cat", "<<END"]', ['RUN', 'ENV']],
    ['CMD cat <<END', ['CMD', 'ENV']],
    ['RUN cat << END', ['RUN']],
    ['RUN cat 3<<-"END"', ['RUN']],
    ["RUN cat <<E'N'D", ['RUN']],
    ['ONBUILD RUN cat <<END', ['ONBUILD']],
  ])('finds a heredoc or none in %j', (line, expected) => {
    const tail = expected.length === 1 ? 'ENV A=1\nEND' : 'ENV A=1';
    expect(keywords(`FROM x\n${line}\n${tail}`)).toEqual(expected);
  });

  test('TARGETPLATFORM names the version of Windows', () => {
    const platform = { os: 'windows', architecture: 'amd64', 'os.version': '10.0.20348.1' };
    const { stages } = parseDockerfile(
      'FROM --platform=$TARGETPLATFORM x\nFROM --platform=$BUILDPLATFORM y',
      {
        platform,
      },
    );
    expect(stages.map((stage) => stage.platform)).toEqual(['windows(10.0.20348.1)/amd64', 'windows/amd64']);
  });

  test('a platform that cannot be expanded leaves the base unresolved', () => {
    expect(bases('FROM --platform=${X:?} y')).toEqual(['unresolved: --platform: X: not set']);
  });

  test.each([
    ['# escape=`\n# syntax=a/b:1\nFROM x', '`', 'a/b:1'],
    ['#!/bin/x\n# syntax=a/b:1\n# escape=`\nFROM x', '\\', 'a/b:1'],
    [' # escape=`\n# syntax=a/b:1\nFROM x', '`', undefined],
    ['# escape=\nFROM x', '\\', undefined],
    ['# note\n# escape=`\nFROM x', '\\', undefined],
  ])('reads the directives of %j', (text, escapeCharacter, syntax) => {
    const read = parseDockerfile(text);
    expect([read.escape, read.syntax?.text]).toEqual([escapeCharacter, syntax]);
  });
});
