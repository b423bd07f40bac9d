// A small family of images of our own: press <- script <- distro <- scratch, in the shape of
// wordpress <- php <- debian. Each member is a source directory (Dockerfile and context) and, derived from the
// same files, the layers its public image has.

/** A file of a source directory or a layer. */
export interface FamilyFile {
  readonly path: string;
  readonly content: string | Uint8Array;
  readonly mode?: number;
}

/** One image of the family. */
export interface Member {
  /** Repository below docker.io/library. */
  readonly name: string;
  readonly tag: string;
  /** Further tags of the same image. */
  readonly aliases: readonly string[];
  /** Source repository `owner/name` and the directory of the Dockerfile in it. */
  readonly source: string;
  readonly directory: string;
  readonly dockerfile: string;
  /** Build context beside the Dockerfile. */
  readonly context: readonly FamilyFile[];
  /** The public image's history: what each instruction recorded, and the files of its layer if it made one. */
  readonly history: readonly { readonly createdBy: string; readonly files?: readonly FamilyFile[] }[];
  readonly execution: Readonly<Record<string, unknown>>;
}

const OS_RELEASE = 'ID=distro\nNAME="Distro"\nVERSION_ID="9"\nPRETTY_NAME="Distro 9 (slim)"\n';
const PASSWD = 'root:x:0:0:root:/root:/bin/sh\nwww:x:33:33:www:/srv:/usr/sbin/nologin\n';

const ROOT_FILES: readonly FamilyFile[] = [
  { path: 'etc/os-release', content: OS_RELEASE },
  { path: 'etc/passwd', content: PASSWD },
  { path: 'etc/group', content: 'root:x:0:\nwww:x:33:\n' },
  { path: 'etc/script/', content: '' },
  { path: 'srv/', content: '' },
  { path: 'srv/press/', content: '' },
  { path: 'usr/local/bin/', content: '' },
  { path: 'usr/share/doc/distro/README', content: 'A root filesystem small enough to read.\n' },
];

const SCRIPT_BINARY = '#!/bin/sh\n# stands for an interpreter\necho "script 7.2.1"\n';
const SCRIPT_WEB = '#!/bin/sh\nexec script --serve "${SCRIPT_PORT:-8080}"\n';
const SCRIPT_CONF = '; defaults of script\nmemory_limit = 128M\nexpose = off\n';

const PRESS_INDEX = '<?script\nrequire "settings.script";\npress_start();\n';
const PRESS_SETTINGS = '<?script\ndefine("PRESS_VERSION", "4.9.1");\n';
const PRESS_ENTRYPOINT = '#!/bin/sh\nset -e\nexec "$@"\n';

/** What every builder sets for an image built from scratch. */
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The family, base first. `rootfs` is the base's root filesystem as a gzipped tar. */
export function family(rootfs: Uint8Array): readonly Member[] {
  return [
    {
      name: 'distro',
      tag: '9-slim',
      aliases: ['9.0-slim'],
      source: 'example/distro-artifacts',
      directory: '9/slim',
      dockerfile: ['FROM scratch', 'ADD rootfs.tar.gz /', 'CMD ["/bin/sh"]', ''].join('\n'),
      context: [{ path: 'rootfs.tar.gz', content: rootfs }],
      history: [
        { createdBy: 'ADD rootfs.tar.gz / # buildkit', files: ROOT_FILES },
        { createdBy: 'CMD ["/bin/sh"]' },
      ],
      execution: { Env: [PATH], Cmd: ['/bin/sh'] },
    },
    {
      name: 'script',
      tag: '7.2-web',
      aliases: ['7.2.1-web'],
      source: 'example/script',
      directory: '7.2/web',
      dockerfile: [
        'FROM distro:9-slim',
        '',
        '# The interpreter and its web front.',
        'ENV SCRIPT_VERSION=7.2.1',
        'COPY script script-web /usr/local/bin/',
        'COPY script.ini /etc/script/',
        'EXPOSE 8080',
        'CMD ["script-web"]',
        '',
      ].join('\n'),
      context: [
        { path: 'script', content: SCRIPT_BINARY, mode: 0o755 },
        { path: 'script-web', content: SCRIPT_WEB, mode: 0o755 },
        { path: 'script.ini', content: SCRIPT_CONF },
      ],
      history: [
        { createdBy: 'ENV SCRIPT_VERSION=7.2.1' },
        {
          createdBy: 'COPY script script-web /usr/local/bin/ # buildkit',
          files: [
            { path: 'usr/local/bin/script', content: SCRIPT_BINARY, mode: 0o755 },
            { path: 'usr/local/bin/script-web', content: SCRIPT_WEB, mode: 0o755 },
          ],
        },
        {
          createdBy: 'COPY script.ini /etc/script/ # buildkit',
          files: [{ path: 'etc/script/script.ini', content: SCRIPT_CONF }],
        },
        { createdBy: 'EXPOSE map[8080/tcp:{}]' },
        { createdBy: 'CMD ["script-web"]' },
      ],
      execution: {
        Env: [PATH, 'SCRIPT_VERSION=7.2.1'],
        Cmd: ['script-web'],
        ExposedPorts: { '8080/tcp': {} },
      },
    },
    {
      name: 'press',
      tag: '4.9',
      aliases: ['4.9.1', 'latest'],
      source: 'example/press',
      directory: 'script7.2/web',
      dockerfile: [
        'FROM script:7.2-web',
        '',
        'ENV PRESS_VERSION=4.9.1',
        'COPY app/ /srv/press/',
        'COPY entrypoint.sh /usr/local/bin/',
        'USER www',
        'ENTRYPOINT ["entrypoint.sh"]',
        'CMD ["script-web"]',
        '',
      ].join('\n'),
      context: [
        { path: 'app/index.script', content: PRESS_INDEX },
        { path: 'app/settings.script', content: PRESS_SETTINGS },
        { path: 'entrypoint.sh', content: PRESS_ENTRYPOINT, mode: 0o755 },
      ],
      history: [
        { createdBy: 'ENV PRESS_VERSION=4.9.1' },
        {
          createdBy: 'COPY app/ /srv/press/ # buildkit',
          files: [
            { path: 'srv/press/index.script', content: PRESS_INDEX },
            { path: 'srv/press/settings.script', content: PRESS_SETTINGS },
          ],
        },
        {
          createdBy: 'COPY entrypoint.sh /usr/local/bin/ # buildkit',
          files: [{ path: 'usr/local/bin/entrypoint.sh', content: PRESS_ENTRYPOINT, mode: 0o755 }],
        },
        { createdBy: 'USER www' },
        { createdBy: 'ENTRYPOINT ["entrypoint.sh"]' },
        { createdBy: 'CMD ["script-web"]' },
      ],
      execution: {
        Env: [PATH, 'SCRIPT_VERSION=7.2.1', 'PRESS_VERSION=4.9.1'],
        Entrypoint: ['entrypoint.sh'],
        Cmd: ['script-web'],
        User: 'www',
        ExposedPorts: { '8080/tcp': {} },
      },
    },
  ];
}

/** The root filesystem's entries; a path that ends in `/` is a directory. */
export function rootFiles(): readonly FamilyFile[] {
  return ROOT_FILES;
}

/** What somebody slipped into the public `press:4.9-tampered`: a set-user-id shell no source mentions. */
export const tampering: FamilyFile = {
  path: 'usr/local/bin/.maintenance',
  content: '#!/bin/sh\nexec /bin/sh -p "$@"\n',
  mode: 0o4755,
};
