/** A package as a database of rpm has it. */
export interface HeaderFields {
  readonly name: string;
  readonly version: string;
  readonly release?: string;
  readonly epoch?: number;
  readonly architecture?: string;
  readonly installTime?: number;
  readonly files?: readonly {
    readonly path: string;
    readonly mode?: number;
    readonly digest?: string;
    readonly link?: string;
    readonly flags?: number;
  }[];
  /** @defaultValue 8, SHA-256 */
  readonly algorithm?: number;
  /** Scriptlet of `%post`. */
  readonly script?: string;
}

type Value = readonly [tag: number, type: number, count: number, data: Buffer];

/** Writes a header as rpm stores it: a region of what the package brought, then what the installation added. */
export function writeHeader(fields: HeaderFields): Buffer {
  const { name, version, release = '1', epoch, architecture = 'x86_64', files = [], algorithm = 8 } = fields;
  const directories = [...new Set(files.map(({ path }) => directoryOf(path)))];
  const brought: Value[] = [
    [1000, 6, 1, texts([name])],
    [1001, 6, 1, texts([version])],
    [1002, 6, 1, texts([release])],
    ...(epoch === undefined ? [] : [[1003, 4, 1, numbers([epoch], 4)] as const]),
    [1022, 6, 1, texts([architecture])],
    ...(fields.script === undefined ? [] : [[1024, 6, 1, texts([fields.script])] as const]),
    [1044, 6, 1, texts([`${name}-${version}-${release}.src.rpm`])],
  ];
  if (files.length > 0) {
    const count = files.length;
    brought.push(
      [1030, 3, count, numbers(files.map(({ mode = 0o100644 }) => mode), 2)],
      [1035, 8, count, texts(files.map(({ digest = '' }) => digest))],
      [1036, 8, count, texts(files.map(({ link = '' }) => link))],
      [1037, 4, count, numbers(files.map(({ flags = 0 }) => flags), 4)],
      [1116, 4, count, numbers(files.map(({ path }) => directories.indexOf(directoryOf(path))), 4)],
      [1117, 8, count, texts(files.map(({ path }) => path.slice(directoryOf(path).length)))],
      [1118, 8, directories.length, texts(directories)],
      [5011, 4, 1, numbers([algorithm], 4)],
    );
  }
  const added: Value[] = [
    [1008, 4, 1, numbers([fields.installTime ?? 1], 4)],
    [1128, 4, 1, numbers([fields.installTime ?? 1], 4)],
  ];
  const data: Buffer[] = [];
  let length = 0;
  const entry = ([tag, type, count, value]: Value) => {
    const size = { 3: 2, 4: 4 }[type] ?? 1;
    const padding = (size - (length % size)) % size;
    data.push(Buffer.alloc(padding), value);
    const offset = length + padding;
    length = offset + value.length;
    return numbers([tag, type, offset, count], 4);
  };
  const entries = brought.map(entry);
  const trailer = numbers([63, 7, -(entries.length + 1) * 16, 16], 4);
  const region = entry([63, 7, 16, trailer]);
  const index = [region, ...entries, ...added.map(entry)];
  return Buffer.concat([numbers([index.length, length], 4), ...index, ...data]);
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/') + 1);
}

function texts(values: readonly string[]): Buffer {
  return Buffer.from(values.map((value) => `${value}\0`).join(''));
}

function numbers(values: readonly number[], size: 2 | 4): Buffer {
  const bytes = Buffer.alloc(values.length * size);
  for (const [index, value] of values.entries()) {
    if (size === 2) bytes.writeUInt16BE(value, index * 2);
    else bytes.writeInt32BE(value, index * 4);
  }
  return bytes;
}
