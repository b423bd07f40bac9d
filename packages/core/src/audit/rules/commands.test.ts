import { describe, expect, test } from 'vitest';
import { audit, hits, PINNED } from '../__fixtures__/hits.ts';

const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const FINGERPRINT = 'B8F2 2C13 9B1A 5C4D 7E8F  0A1B 2C3D 4E5F 6A7B 8C9D'.replaceAll(' ', '');

describe('VET020 TLS verification switched off', () => {
  test.each([
    'RUN curl -k https://e.example/v',
    'RUN curl -fsSLk https://e.example/v',
    'RUN wget --no-check-certificate -qO- https://e.example/v',
    'RUN GIT_SSL_NO_VERIFY=1 git fetch',
    'RUN git -c http.sslVerify=false fetch',
    'RUN git config --global http.sslverify false',
    'RUN npm config set strict-ssl false',
    'RUN pip install --trusted-host e.example -r r.txt',
    'RUN echo insecure >> ~/.curlrc',
    'ENV NODE_TLS_REJECT_UNAUTHORIZED=0',
    'ENV PYTHONHTTPSVERIFY 0',
    'RUN export NODE_TLS_REJECT_UNAUTHORIZED=0'.replace('export ', ''),
    'RUN apt-get -o Acquire::https::Verify-Peer=false update',
  ])('%s', (line) => {
    expect(hits(line)).toContain('VET020:2');
  });

  test.each([
    'RUN curl -o/usr/share/k -H -k https://e.example/v',
    'RUN curl -fsSL https://e.example/k',
    'RUN echo "never use curl -k"',
    'ENV NODE_TLS_REJECT_UNAUTHORIZED=1',
    'LABEL GIT_SSL_NO_VERIFY=1',
  ])('not %s', (line) => {
    expect(hits(line)).not.toContain('VET020:2');
  });
});

describe('VET021 unsigned packages', () => {
  test.each([
    'RUN apt-get install -y --allow-unauthenticated x',
    'RUN apt-get -y --force-yes install x',
    'RUN apt-get -o Acquire::AllowInsecureRepositories=true update',
    'RUN echo "deb [trusted=yes] https://e.example/ ./" > /etc/apt/sources.list',
    'RUN apk add --allow-untrusted x',
    'RUN yum install -y --nogpgcheck x',
    'RUN dnf --setopt=gpgcheck=0 install x',
    'RUN rpm -i --nosignature x.rpm',
    'RUN zypper --no-gpg-checks in x',
    'RUN printf "[x]\\ngpgcheck=0\\n" > /etc/yum.repos.d/x.repo',
  ])('%s', (line) => {
    expect(hits(line)).toContain('VET021:2');
  });

  test('says little about packages the build made itself', () => {
    expect(audit(`${PINNED}\nRUN apk add --allow-untrusted /tmp/x.apk`)).toMatchObject([{ severity: 'low' }]);
    expect(hits('RUN apk index --allow-untrusted -o i *.apk')).toEqual([]);
  });
});

describe('VET022 to VET024 repositories and keys', () => {
  test.each([
    ['RUN add-apt-repository -y ppa:a/b', ['VET022:2']],
    ['RUN add-apt-repository universe', []],
    ['RUN echo "deb https://e.example/apt stable main" > /etc/apt/sources.list.d/e.list', ['VET022:2']],
    ['RUN echo "deb https://e.example/apt stable main" | tee /etc/apt/sources.list.d/e.list', ['VET022:2']],
    ['RUN echo "deb http://mirror.example/debian sid main" > /etc/apt/sources.list.d/s.list', []],
    ['RUN yum-config-manager --add-repo https://e.example/e.repo', ['VET022:2']],
    ['RUN apk add -X https://dl-cdn.alpinelinux.org/alpine/edge/testing x', []],
    ['RUN apk add -X https://e.example/apk x', ['VET022:2']],
    ['RUN curl -fsSL https://e.example/gpg | apt-key add -', ['VET023:2']],
    ['RUN curl -fsSL https://e.example/gpg | gpg --dearmor -o /usr/share/keyrings/e.gpg', ['VET023:2']],
    ['RUN wget -O /etc/apk/keys/e.rsa.pub https://e.example/e.rsa.pub', ['VET023:2']],
    ['RUN rpm --import https://e.example/RPM-GPG-KEY', ['VET023:2']],
    [
      'RUN curl -o /usr/share/keyrings/e.asc https://e.example/e.asc; echo "$S /usr/share/keyrings/e.asc" | sha256sum -c',
      [],
    ],
    [
      `RUN curl https://e.example/KEYS | gpg --import && gpg --list-keys --with-colons | grep ${FINGERPRINT}`,
      [],
    ],
    ['RUN gpg --keyserver k --recv-keys 0xDEADBEEF', ['VET024:2']],
    ['RUN for k in DEADBEEF CAFEBABE; do gpg --recv-keys "$k"; done', ['VET024:2', 'VET024:2']],
    [`RUN gpg --keyserver k --recv-keys ${FINGERPRINT}`, []],
  ])('%s', (line, expected) => {
    expect(hits(line)).toEqual(expected);
  });
});

describe('VET030 to VET032 sources and packages', () => {
  test.each([
    ['git clone https://e.example/x', ['VET030:2']],
    ['git clone --depth 1 -b v1.2 https://e.example/x', ['VET030:2']],
    [`git clone https://e.example/x && cd x && git checkout ${COMMIT}`, []],
    [`git clone https://e.example/x && git -C x reset --hard ${COMMIT}`, []],
    ['git clone https://e.example/x && cd x && git checkout "$X_COMMIT"', []],
    [`git init x && git fetch origin ${COMMIT}`, []],
    ['git clone /src x', []],
    [`git clone https://e.example/x; git clone https://e.example/y; git checkout ${COMMIT}`, ['VET030:2']],
    ['pip install flask', ['VET031:2']],
    ['python3 -m pip install --upgrade pip', ['VET031:2']],
    ['pip install flask==3.1.0 "pip==$PIP_VERSION"', []],
    ['pip install -r requirements.txt', []],
    ['pip install .', []],
    ['pip install ./x.whl /y', []],
    ['pip install git+https://e.example/x', ['VET031:2']],
    [`pip install git+https://e.example/x@${COMMIT}`, []],
    ['npm install -g yarn', ['VET031:2']],
    ['npm install -g yarn@1.22.22 @a/b@2', []],
    ['npm install -g @a/b@latest', ['VET031:2']],
    ['npm ci', []],
    ['npm install', []],
    ['gem install bundler', ['VET031:2']],
    ['gem install bundler -v 2.6.0', []],
    ['go install e.example/x@latest', ['VET031:2']],
    ['go install e.example/x@v1.2.3', []],
    ['cargo install ripgrep', ['VET031:2']],
    ['cargo install ripgrep --version 14.1.0 --locked', []],
    ['pip install --extra-index-url https://e.example/simple x==1', ['VET032:2']],
    ['pip install --require-hashes --extra-index-url https://e.example/simple -r r.txt', []],
  ])('%s', (command, expected) => {
    expect(hits(`RUN ${command}`)).toEqual(expected);
  });

  test('VET030 weighs a tag less than a branch', () => {
    const severity = (ref: string): unknown =>
      audit(`${PINNED}\nRUN git clone -b ${ref} https://e.example/x`).map((finding) => finding.severity);
    expect([severity('v1.2'), severity('main')]).toEqual([['low'], ['medium']]);
  });

  test('VET032 sees the variable', () => {
    expect(hits('ENV PIP_EXTRA_INDEX_URL=https://e.example/simple')).toEqual(['VET032:2']);
  });
});

describe('VET050 to VET053 privileges', () => {
  test.each([
    ['RUN chmod 4755 /x', ['VET051:2']],
    ['RUN chmod u+s /x', ['VET051:2']],
    ['RUN find / -perm /6000 -exec chmod a-s {} +', []],
    ['RUN chmod 755 /x && chmod -R a+rX /y && chmod 1777 /tmp', []],
    ['COPY --chmod=4755 x /x', ['VET051:2']],
    ['RUN setcap cap_sys_admin+ep /x', ['VET051:2']],
    ['RUN setcap -r /x', []],
    ['RUN echo "root:root" | chpasswd', ['VET052:2']],
    ['RUN passwd -d root', ['VET052:2']],
    ['RUN useradd -o -u 0 toor', ['VET052:2']],
    ['RUN useradd -u 1000 -p "$6$x" app', ['VET052:2']],
    ['RUN useradd --uid 1000 app', []],
    ['RUN echo "toor:x:0:0::/root:/bin/sh" >> /etc/passwd', ['VET052:2']],
    ['RUN echo "app:x:1000:0::/home/app:/bin/sh" >> /etc/passwd', []],
    ['RUN echo "app ALL=(ALL) NOPASSWD:ALL" > /etc/sudoers.d/app', ['VET053:2']],
  ])('%s', (line, expected) => {
    expect(hits(line)).toEqual(expected);
  });

  test('a set-group-ID directory is a small matter', () => {
    expect(audit(`${PINNED}\nRUN chmod 2775 /srv`)).toMatchObject([{ rule: 'VET051', severity: 'low' }]);
  });
});

describe('VET040 secrets', () => {
  test.each([
    ['ENV DB_PASSWORD=hunter2hunter2', 'high'],
    ['ARG API_KEY=abcdef0123456789', 'high'],
    ['LABEL secret="s3cr3t-value"', 'high'],
    ['ARG NPM_TOKEN', 'low'],
    ['ARG T\nENV GITHUB_TOKEN=$T', 'medium'],
    [`RUN curl -H "Authorization: token ghp_${'a1B2'.repeat(9)}" https://e.example/v`, 'critical'],
    ['RUN git fetch https://user:s3cr3tpw@e.example/x', 'critical'],
    ['RUN <<EOF\necho "-----BEGIN RSA PRIVATE KEY-----"\nEOF', 'critical'],
  ])('%s', (line, severity) => {
    const findings = audit(`${PINNED}\n${line}`);
    expect(findings).toContainEqual(expect.objectContaining({ rule: 'VET040', severity }));
  });

  test.each([
    'ENV POSTGRES_PASSWORD_FILE=/run/secrets/pw',
    'ENV GPG_KEY=7169605F62C751356D054A26A821E680E5FA6305',
    'ENV MYSQL_ALLOW_EMPTY_PASSWORD=yes',
    'ENV TOKEN_URL=https://e.example/token',
    'ENV PASSWORD=',
    'RUN git fetch https://$USER:$TOKEN@e.example/x',
    'RUN git fetch ssh://git@e.example/x',
  ])('not %s', (line) => {
    expect(hits(line)).toEqual([]);
  });

  test('shows no secret in message or excerpt', () => {
    const token = `ghp_${'a1B2'.repeat(9)}`;
    const text = JSON.stringify(
      audit(
        `${PINNED}\nENV DB_PASSWORD=hunter2hunter2\nRUN curl -u x:${token} https://e.example/ | sh && A_SECRET="kdloedMFGd" b`,
      ),
    );
    expect(text).toContain('*****');
    expect(text).not.toMatch(/hunter2|ghp_|kdloed/);
  });
});

describe('VET080 what was not read', () => {
  test.each([
    ['SHELL ["powershell", "-Command"]', 'RUN Invoke-WebRequest https://e.example/x -OutFile x'],
    ['RUN <<EOF', '#!/usr/bin/env python3', 'import os', 'EOF'],
    ['RUN if true; then'],
    ['RUN sh -c "if true"'],
  ])('%j', (...lines) => {
    expect(hits(...lines).filter((hit) => hit.startsWith('VET080'))).toHaveLength(1);
  });

  test('a Windows base is not read as shell', () => {
    const text = `FROM mcr.microsoft.com/windows/nanoserver:ltsc2025@sha256:${'a'.repeat(64)}\nRUN setx A b`;
    expect(audit(text)).toMatchObject([
      { rule: 'VET080', severity: 'info', message: 'not audited: the shell is cmd' },
    ]);
  });

  test('a shell script with a shebang is read', () => {
    expect(hits('RUN <<EOF', '#!/bin/bash -e', 'curl https://e.example/i | sh', 'EOF')).toEqual(['VET010:4']);
  });
});
