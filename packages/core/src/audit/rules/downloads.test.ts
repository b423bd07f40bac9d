import { describe, expect, test } from 'vitest';
import { audit, hits, PINNED } from '../__fixtures__/hits.ts';

const SUM = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

describe('VET010 downloaded text is run at once', () => {
  test.each([
    'curl -fsSL https://e.example/i.sh | sh',
    'curl -fsSL https://e.example/i.sh | sudo -E bash -s -- --yes',
    'wget -qO- https://e.example/i.sh | tee log | /bin/bash -eux -o pipefail',
    'curl https://e.example/i.py | python3 -',
    'bash -c "$(curl -fsSL https://e.example/i.sh)"',
    'sh -c "`wget -O- https://e.example/i.sh`"',
    'bash <(curl -s https://e.example/i.sh)',
    'source <(curl -s https://e.example/i.sh)',
    '. /dev/stdin <<< "$(curl -s https://e.example/i.sh)"',
    'eval "$(curl -s https://e.example/i.sh)"',
    'x="$(curl -s https://e.example/i.sh)"; eval "$x"',
    'bash <<< "$(curl -s https://e.example/i.sh)"',
    'sh -c "curl https://e.example/i.sh | sh"',
    '{ curl https://e.example/i.sh; echo done; } | bash',
    'f() { curl "$1" | sh; }; f https://e.example/i.sh',
  ])('%s', (command) => {
    expect(hits(`RUN ${command}`)).toContain('VET010:2');
  });

  test.each([
    'curl https://e.example/list | sha256sum',
    'cat list | sh',
    'curl https://e.example/x.json | python3 -c "import json"',
    'curl https://e.example/x.json | python3 -m json.tool',
    'curl https://e.example/x.json | jq -r .tag',
    'v="$(curl -s https://e.example/v)"; sh build.sh "$v"',
    'curl http://localhost:8080/ | sh',
    'bash install.sh "$(curl -s https://e.example/v)"',
  ])('not %s', (command) => {
    expect(hits(`RUN ${command}`)).not.toContain('VET010:2');
  });

  test('sees exec form, heredocs and ONBUILD', () => {
    expect(hits('RUN ["sh", "-c", "curl https://e.example/i.sh | sh"]')).toEqual(['VET010:2']);
    expect(hits('RUN <<EOF', 'set -e', 'curl https://e.example/i.sh | sh', 'EOF')).toEqual(['VET010:4']);
    expect(hits('ONBUILD RUN curl https://e.example/i.sh | sh')).toEqual(['VET010:2']);
  });

  test('points at the line inside a long instruction', () => {
    expect(
      hits('RUN set -eux; \\', '  apt-get update; \\', '  curl https://e.example/i.sh | sh; \\', '  true'),
    ).toEqual(['VET010:4']);
  });
});

describe('VET011 to VET013 verification of downloads', () => {
  const get = 'curl -fsSLo /tmp/a.tgz https://e.example/a.tgz';

  test.each([
    [`${get}; tar xf /tmp/a.tgz`, 'VET011'],
    ['curl https://e.example/a.tgz | tar xz', 'VET011'],
    ['wget https://e.example/a.tgz && tar xf a.tgz', 'VET011'],
    ['curl -o/usr/local/bin/k https://e.example/k', 'VET011'],
    ['curl https://e.example/tool > /usr/bin/tool; chmod +x /usr/bin/tool', 'VET011'],
    ['wget -O- https://e.example/a.gz | gunzip > /bin/a', 'VET011'],
    // The checksum is printed, not compared.
    [`${get}; sha256sum /tmp/a.tgz; tar xf /tmp/a.tgz`, 'VET011'],
    // Another file is verified.
    [`${get}; curl -o b https://e.example/b; echo "${SUM}  b" | sha256sum -c`, 'VET011'],
    // Fetched again after verification.
    [`${get}; echo "${SUM} /tmp/a.tgz" | sha256sum -c; ${get}`, 'VET011'],
    // Used before verification.
    [`${get}; tar xf /tmp/a.tgz; echo "${SUM} /tmp/a.tgz" | sha256sum -c`, 'VET011'],
    [`${get}; echo "d41d8cd98f00b204e9800998ecf8427e /tmp/a.tgz" | md5sum -c`, 'VET013'],
    [`${get}; echo "$SUM */tmp/a.tgz" | sha1sum -c -; tar xf /tmp/a.tgz`, 'VET013'],
    [`${get}; [ "$(md5sum /tmp/a.tgz | cut -d' ' -f1)" = "$MD5" ]`, 'VET013'],
    [`cd /tmp; ${get}; curl -O https://e.example/a.tgz.sha256; sha256sum -c a.tgz.sha256`, 'VET012'],
    [`${get}; curl https://e.example/SHA256SUMS | grep a.tgz | sha256sum -c -`, 'VET012'],
    [`${get}; echo "$(curl https://e.example/sum) /tmp/a.tgz" | sha256sum -c -`, 'VET012'],
    ['rpm -ivh https://e.example/a.rpm', 'VET011'],
    ['dnf install -y https://e.example/a.rpm', 'VET011'],
  ])('%s', (command, rule) => {
    expect(hits(`RUN ${command}`)).toEqual([`${rule}:2`]);
  });

  test.each([
    [`${get}; echo "${SUM}  /tmp/a.tgz" | sha256sum -c -; tar xf /tmp/a.tgz`],
    [`${get}; echo "$SHA */tmp/a.tgz" | sha512sum --strict --check && tar xf /tmp/a.tgz`],
    [`${get}; sha256sum -c <<< "$SHA /tmp/a.tgz"`],
    [`${get}; echo "$SHA /tmp/a.tgz" > sums; sha256sum -c sums`],
    [`${get}; [ "$(sha256sum /tmp/a.tgz | cut -d' ' -f1)" = "$SHA" ] || exit 1`],
    [`${get}; got="$(openssl dgst -sha256 -r /tmp/a.tgz)"; test "\${got%% *}" = "$SHA"`],
    [`${get}; sha256sum /tmp/a.tgz | grep -q "$SHA"`],
    [
      `${get}; shasum -a 256 -c <<EOF\n$SHA /tmp/a.tgz\nEOF`
        .replaceAll('\n', ' ')
        .replace(/<<EOF.*/, '< pinned.txt'),
    ],
    [
      'wget -O a https://e.example/a; wget -O a.asc https://e.example/a.asc; gpg --batch --verify a.asc a; ./a',
    ],
    ['curl -O https://e.example/a.tgz -O https://e.example/a.tgz.sig; gpgv --keyring k.gpg a.tgz.sig a.tgz'],
    [
      'curl -O https://e.example/a.tgz; curl -O https://e.example/SHASUMS.asc; gpg -d --output SHASUMS SHASUMS.asc; ' +
        'grep " a.tgz$" SHASUMS | sha256sum -c -',
    ],
    [`get() { curl -o "$1" "$2"; }; get a.tgz https://e.example/a; echo "$S a.tgz" | sha256sum -c`],
    [`curl -o x https://a.example/x || curl -o x https://b.example/x; echo "$S x" | sha256sum -c`],
    [
      'cosign verify-blob --key k.pub --signature s a; curl -o a https://e.example/a; cosign verify-blob --key k.pub a',
    ],
    ['v="$(curl -s https://e.example/versions.yml | grep ^latest)"; echo "$v"'],
    ['curl -fsS -o /dev/null https://e.example/health'],
    ['curl -I https://e.example/; curl -X POST https://e.example/; curl -d a=b https://e.example/'],
    ['curl -fsS http://localhost/health; wget --spider https://e.example/'],
    ['curl --version; wget --help'],
  ])('nothing on %s', (command) => {
    expect(hits(`RUN ${command}`)).toEqual([]);
  });

  test('follows a file from one RUN to the next', () => {
    const verify = `RUN echo "${SUM} a" | sha256sum -c`;
    expect(hits('RUN curl -o a https://e.example/a', verify, 'RUN sh a')).toEqual([]);
    expect(hits('RUN curl -o a https://e.example/a', 'RUN sh a', verify)).toEqual(['VET011:2']);
  });

  test('knows URLs from ENV and ARG, and does not show credentials', () => {
    const [finding] = audit(
      [PINNED, 'ARG V=1.2', 'ENV U=https://e.example/$V', 'RUN curl "$U/a.tgz?sig=abc" | tar xz'].join('\n'),
    );
    expect(finding!.message).toBe('https://e.example/1.2/a.tgz is unpacked by tar without verification');
  });

  test('a commit id in the URL makes it small', () => {
    const url = `https://raw.example/x/${'0a'.repeat(20)}/f.sh`;
    expect(audit(`${PINNED}\nRUN curl -o f.sh ${url}; sh f.sh`)).toMatchObject([
      { rule: 'VET011', severity: 'low' },
    ]);
  });
});

describe('ADD and addresses', () => {
  test.each([
    ['ADD https://e.example/a.tgz /a', ['VET014:2']],
    [`ADD --checksum=sha256:${SUM} https://e.example/a.tgz /a`, []],
    ['ADD http://e.example/a.tgz /a', ['VET014:2', 'VET015:2']],
    ['ADD ["https://e.example/a b", "/a"]', ['VET014:2']],
    ['ADD a.tgz /a', []],
    ['ADD https://github.com/a/b.git#main /b', ['VET030:2']],
    [`ADD https://github.com/a/b.git#${'0a'.repeat(20)} /b`, []],
    ['ADD http://169.254.169.254/latest/meta-data/ /x', ['VET014:2', 'VET035:2']],
    ['ADD http://0xA9FEA9FE/ /x', ['VET014:2', 'VET035:2']],
    ['ADD http://2852039166/ /x', ['VET014:2', 'VET035:2']],
    ['ADD http://0251.0376.0251.0376/ /x', ['VET014:2', 'VET035:2']],
    ['ADD http://[::ffff:169.254.169.254]/ /x', ['VET014:2', 'VET035:2']],
    ['ADD http://[::ffff:a9fe:a9fe]/ /x', ['VET014:2', 'VET035:2']],
    ['ADD http://metadata.google.internal/ /x', ['VET014:2', 'VET035:2']],
    ['ADD https://10.1.2.3/x /x', ['VET014:2', 'VET035:2']],
    ['ADD https://8.8.8.8/x /x', ['VET014:2']],
    ['RUN curl -o /x http://169.254.169.254/latest/', ['VET011:2', 'VET035:2']],
    ['RUN curl -o /x http://e.example/x', ['VET011:2', 'VET015:2']],
    [`RUN curl -o /x http://e.example/x; echo "${SUM} /x" | sha256sum -c`, []],
    [`RUN git clone git://e.example/x && cd x && git checkout ${'0a'.repeat(20)}`, ['VET015:2']],
  ])('%s', (line, expected) => {
    expect([...hits(line)].sort()).toEqual(expected);
  });
});
