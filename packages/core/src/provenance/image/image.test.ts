import { type Descriptor, digestOf, type HistoryEntry, type ResolvedImage } from '@imagevet/registry';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import type { ProvenanceClaim, ProvenanceSource } from '../../lineage/types.ts';
import { collect } from '../__fixtures__/collect.ts';
import { ociAnnotationSource } from './annotations.ts';
import { imageHistorySource, reconstructDockerfile } from './history.ts';
import { imageLabelSource } from './labels.ts';
import { parseSourceAnnotation } from './source-annotation.ts';

const SHA = 'a'.repeat(40);
const OTHER = 'b'.repeat(40);
const OCI = 'org.opencontainers.image.';

function descriptor(name: string): Descriptor {
  return { mediaType: 'application/octet-stream', digest: digestOf(name), size: 1 };
}

function image(parts: Partial<ResolvedImage>): ResolvedImage {
  return {
    reference: { registry: 'docker.io', repository: 'acme/blog', tag: '4' },
    manifest: descriptor('manifest'),
    config: descriptor('config'),
    layers: [],
    platform: { os: 'linux', architecture: 'amd64' },
    diffIds: [],
    history: [],
    annotations: {},
    labels: {},
    execution: {},
    ...parts,
  };
}

async function claims(source: ProvenanceSource, parts: Partial<ResolvedImage>): Promise<ProvenanceClaim[]> {
  const resolved = image(parts);
  return collect(
    source.claims({ reference: resolved.reference, platform: resolved.platform, image: resolved }),
  );
}

describe('parseSourceAnnotation()', () => {
  it.each([
    [
      `https://github.com/acme/blog.git#${SHA}:php7.2/apache`,
      { repository: 'https://github.com/acme/blog', ref: SHA, directory: 'php7.2/apache' },
    ],
    [
      `https://github.com/acme/blog.git#${SHA}:.`,
      { repository: 'https://github.com/acme/blog', ref: SHA, directory: '.' },
    ],
    [`https://github.com/acme/blog.git#${SHA}`, { repository: 'https://github.com/acme/blog', ref: SHA }],
    [
      'https://github.com/acme/blog.git#:web',
      { repository: 'https://github.com/acme/blog', directory: 'web' },
    ],
    [
      'https://github.com/acme/blog#refs/heads/main:web',
      { repository: 'https://github.com/acme/blog', ref: 'refs/heads/main', directory: 'web' },
    ],
    ['https://github.com/acme/blog', { repository: 'https://github.com/acme/blog' }],
    ['git+https://github.com/acme/blog.git', { repository: 'https://github.com/acme/blog' }],
    ['git@github.com:acme/blog.git', { repository: 'https://github.com/acme/blog' }],
    ['ssh://git@github.com/acme/blog.git', { repository: 'https://github.com/acme/blog' }],
    [
      `https://github.com/acme/blog/tree/${SHA}/web`,
      { repository: 'https://github.com/acme/blog', ref: SHA, directory: 'web' },
    ],
    ['https://gitlab.example/g/p/-/tree/main', { repository: 'https://gitlab.example/g/p', ref: 'main' }],
    [
      `https://github.com/acme/blog/blob/${SHA}/web/Dockerfile`,
      { repository: 'https://github.com/acme/blog', ref: SHA, path: 'web/Dockerfile' },
    ],
  ])('reads %s', (value, expected) => {
    expect(parseSourceAnnotation(value)).toEqual(expected);
  });

  it.each(['', 'acme/blog', 'file:///etc', 'https://u:p@github.com/a/b', 'ext::id', '-x@host:y z'])(
    'refuses %j',
    (value) => {
      expect(parseSourceAnnotation(value)).toBeUndefined();
    },
  );

  it.each(['https://github.com/acme/blog#--upload-pack=id:web', `https://github.com/acme/blog#${SHA}:../..`])(
    'drops the fragment of %s',
    (value) => {
      expect(parseSourceAnnotation(value)).toEqual({ repository: 'https://github.com/acme/blog' });
    },
  );

  it('never throws, and gives an https repository or nothing', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.webUrl({ withFragments: true })), (value) => {
        const said = parseSourceAnnotation(value);
        expect(said === undefined || said.repository.startsWith('https://')).toBe(true);
        expect(said?.directory ?? '').not.toMatch(/(^|\/)\.\.(\/|$)/);
      }),
    );
  });
});

describe('ociAnnotationSource()', () => {
  it('reads the form official images have', async () => {
    const digest = digestOf('base');
    const annotations = {
      [`${OCI}source`]: `https://github.com/acme/blog.git#${SHA}:web`,
      [`${OCI}revision`]: SHA,
      [`${OCI}base.name`]: 'runtime:7-web',
      [`${OCI}base.digest`]: digest,
    };
    expect(await claims(ociAnnotationSource(), { annotations })).toEqual([
      {
        kind: 'oci-annotation',
        foundAt: digestOf('manifest'),
        location: {
          repository: 'https://github.com/acme/blog',
          commit: SHA,
          directory: 'web',
          path: 'web/Dockerfile',
        },
        base: { reference: 'runtime:7-web', digest },
        note: 'the file is not named; Dockerfile is the default',
      },
    ]);
  });

  it('calls the place a guess when only repository and revision are named', async () => {
    const annotations = { [`${OCI}source`]: 'https://github.com/acme/blog', [`${OCI}revision`]: SHA };
    expect(await claims(ociAnnotationSource(), { annotations })).toMatchObject([
      { heuristic: true, location: { commit: SHA, directory: '.', path: 'Dockerfile' } },
    ]);
  });

  it('names no location without a commit, and keeps what was said', async () => {
    const annotations = {
      [`${OCI}source`]: 'https://github.com/acme/blog',
      [`${OCI}revision`]: 'v1.0',
      [`${OCI}base.digest`]: 'sha256:x',
    };
    const [claim] = await claims(ociAnnotationSource(), { annotations });
    expect(claim).not.toHaveProperty('location');
    expect(claim?.note).toMatch(
      /names no commit: https:\/\/github.com\/acme\/blog; base.digest is no digest: sha256:x/,
    );
  });

  it('reports two commits, and keeps the one bound to the directory', async () => {
    const annotations = {
      [`${OCI}source`]: `https://github.com/acme/blog#${SHA}:web`,
      [`${OCI}revision`]: OTHER,
    };
    expect(await claims(ociAnnotationSource(), { annotations })).toMatchObject([
      { location: { commit: SHA }, note: expect.stringContaining('two commits') },
    ]);
  });

  it('claims nothing when nothing is said', async () => {
    expect(
      await claims(ociAnnotationSource(), { annotations: { [`${OCI}version`]: '4', [`${OCI}source`]: ' ' } }),
    ).toEqual([]);
  });
});

describe('imageLabelSource()', () => {
  const labels = {
    'org.label-schema.vcs-url': 'https://github.com/acme/blog',
    'org.label-schema.vcs-ref': SHA,
  };
  const entry = (createdBy: string): HistoryEntry => ({ created_by: createdBy, empty_layer: true });

  it('reads the keys of label-schema.org, always as a guess', async () => {
    expect(await claims(imageLabelSource(), { labels })).toMatchObject([
      {
        kind: 'image-label',
        heuristic: true,
        foundAt: digestOf('config'),
        location: { commit: SHA, path: 'Dockerfile' },
      },
    ]);
    const both = { ...labels, [`${OCI}source`]: 'https://github.com/acme/new' };
    expect(await claims(imageLabelSource(), { labels: both })).toMatchObject([
      { location: { repository: 'https://github.com/acme/new' } },
    ]);
  });

  it('says which history entry set the label', async () => {
    const history = [
      entry('ADD file:1 in /'),
      entry('LABEL org.label-schema.vcs-url=https://github.com/acme/blog'),
      entry('CMD ["x"]'),
    ];
    const [set] = await claims(imageLabelSource(), { labels, history });
    expect(set?.note).toMatch(/set by history entry 2 of 3/);
    const [unset] = await claims(imageLabelSource(), { labels, history: [] });
    expect(unset?.note).toMatch(/the builder did, or it is inherited/);
  });
});

describe('imageHistorySource()', () => {
  it('writes what Go prints as it is written, so that the whole can be read', () => {
    const written = [
      ['ENV DEPS=gcc \t\tmake B=2', 'ENV DEPS="gcc make" B=2'],
      ['/bin/sh -c #(nop)  ENV PRICE=$5 "x"', String.raw`ENV PRICE="\$5 \"x\""`],
      ['LABEL title=two words', 'LABEL title="two words"'],
      ['SHELL [/bin/bash -o pipefail -c]', 'SHELL ["/bin/bash","-o","pipefail","-c"]'],
      [
        'HEALTHCHECK &{["CMD-SHELL" "test -e \\"/x y\\""] "5s" "0s" "0s" "0s" \'\\x00\'}',
        'HEALTHCHECK --interval=5s CMD test -e "/x y"',
      ],
      [
        'HEALTHCHECK &{["CMD" "/probe" "-v"] "0s" "0s" "0s" "0s" \'\\x03\'}',
        'HEALTHCHECK --retries=3 CMD ["/probe", "-v"]',
      ],
      ['HEALTHCHECK &{["NONE"] "0s"}', 'HEALTHCHECK NONE'],
      ['RUN /bin/sh -c <<EOF (apk add curl...) # buildkit', 'RUN ["/bin/sh","-c","<<EOF (apk add curl...)"]'],
      ['COPY <<EOF /x # buildkit', '# COPY <<EOF /x'],
      ['RUN /bin/sh -c ends \\ # buildkit', String.raw`RUN ["/bin/sh","-c","ends \\"]`],
      ['WORKDIR', '# WORKDIR'],
    ] as const;
    const text = reconstructDockerfile(written.map(([created_by]) => ({ created_by })));
    expect(text.split('\n').slice(3, -1)).toEqual(written.map(([, instruction]) => instruction));
    expect(parseDockerfile(text).stages[0]?.instructions.length).toBe(9);
  });

  it('is read whatever a history has', () => {
    const forms = [
      'ENV A=',
      'RUN ',
      'LABEL ',
      'HEALTHCHECK &{[',
      'SHELL [',
      'COPY <<',
      'ONBUILD ',
      '/bin/sh -c ',
      '#',
    ];
    const entry = fc
      .tuple(fc.constantFrom('', ...forms), fc.string({ unit: 'binary' }))
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 5 }), (entries) => {
        const text = reconstructDockerfile(entries.map((created_by) => ({ created_by })));
        expect(parseDockerfile(text).stages.map(({ fromText }) => fromText)).toEqual(['${UNRECORDED_BASE}']);
      }),
    );
  });

  it('writes the instructions of both builders and of Windows', () => {
    const dockerfile = reconstructDockerfile(
      [
        '/bin/sh -c #(nop) ADD file:0123 in / ',
        '/bin/sh -c #(nop)  CMD ["bash"]',
        '/bin/sh -c apt-get update && apt-get install -y x',
        '|2 A=1 B=2 /bin/sh -c make',
        'RUN /bin/sh -c set -eux;\n\tmake # buildkit',
        'RUN |1 V=2 /bin/sh -c echo $V # buildkit',
        'COPY --chown=1:1 src /x # buildkit',
        'EXPOSE map[443/tcp:{} 80/tcp:{}]',
        'ENV A=b',
        'cmd /S /C #(nop)  ENV W=1',
        'cmd /S /C dir',
        'bazel build ...\nrm x',
        '# debian.sh --arch amd64',
        '',
      ].map((created_by) => ({ created_by })),
    );
    expect(dockerfile.split('\n').slice(1, -1)).toEqual([
      'ARG UNRECORDED_BASE',
      'FROM ${UNRECORDED_BASE}',
      'ADD file:0123 /',
      'CMD ["bash"]',
      'RUN apt-get update && apt-get install -y x',
      'RUN make',
      'RUN set -eux; \\',
      '\tmake',
      'RUN echo $V',
      'COPY --chown=1:1 src /x',
      'EXPOSE 443/tcp 80/tcp',
      'ENV A=b',
      'ENV W=1',
      'RUN dir',
      '# bazel build ...',
      '# rm x',
      '# debian.sh --arch amd64',
    ]);
  });

  it('gives a guess, or nothing without a history', async () => {
    expect(await claims(imageHistorySource(), { history: [{ created_by: 'CMD ["x"]' }] })).toMatchObject([
      { kind: 'image-history', heuristic: true, dockerfile: expect.stringContaining('\nCMD ["x"]\n') },
    ]);
    expect(await claims(imageHistorySource(), {})).toEqual([]);
  });

  it('takes any history', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (entries) => {
        expect(reconstructDockerfile(entries.map((created_by) => ({ created_by })))).toMatch(
          /^# .*\nARG UNRECORDED_BASE\nFROM \$\{UNRECORDED_BASE\}\n/,
        );
      }),
    );
    expect(reconstructDockerfile([{ created_by: `|${' A=1'.repeat(300_000)}` }]).length).toBeGreaterThan(
      1_000_000,
    );
  });
});
