import type { ImageReference } from '@imagevet/registry';

/** A release of a distribution and the last days it gets security fixes. */
export interface DistributionRelease {
  readonly distribution: string;
  readonly version: string;
  readonly codename?: string;
  /** `YYYY-MM-DD`: the distribution's own security support ends. */
  readonly supportEnds: string;
  /** End of a free long-term support by others, on some packages and platforms. */
  readonly longTermEnds?: string;
}

/** Day on which the table was compiled; later releases and changed dates are not in it. */
export const RELEASES_AS_OF = '2026-11-23';

const DEBIAN = `
  6 squeeze 2014-05-31 2016-02-29, 7 wheezy 2016-04-25 2018-05-31, 8 jessie 2018-06-17 2020-06-30,
  9 stretch 2020-07-18 2022-06-30, 10 buster 2022-09-10 2024-06-30, 11 bullseye 2024-08-14 2026-08-31,
  12 bookworm 2026-07-11 2028-06-30, 13 trixie 2028-08-09 2030-06-30`;
const UBUNTU = `
  12.04 precise 2017-04-28, 14.04 trusty 2019-04-02, 16.04 xenial 2021-04-02, 16.10 yakkety 2017-07-20,
  17.04 zesty 2018-01-13, 17.10 artful 2018-07-19, 18.04 bionic 2023-05-31, 18.10 cosmic 2019-07-18,
  19.04 disco 2020-01-23, 19.10 eoan 2020-07-06, 20.04 focal 2025-05-31, 20.10 groovy 2021-07-22,
  21.04 hirsute 2022-01-20, 21.10 impish 2022-07-14, 22.04 jammy 2027-04-01, 22.10 kinetic 2023-07-20,
  23.04 lunar 2024-01-20, 23.10 mantic 2024-07-12, 24.04 noble 2029-05-31, 24.10 oracular 2025-07-10,
  25.04 plucky 2026-01-17, 25.10 questing 2026-07-01, 26.04 resolute 2031-04-30`;
const ALPINE = `
  3.0 - 2016-05-01, 3.1 - 2016-11-01, 3.2 - 2017-05-01, 3.3 - 2017-11-01, 3.4 - 2018-05-01, 3.5 - 2018-11-01,
  3.6 - 2019-05-01, 3.7 - 2019-11-01, 3.8 - 2020-05-01, 3.9 - 2020-11-01, 3.10 - 2021-05-01, 3.11 - 2021-11-01,
  3.12 - 2022-05-01, 3.13 - 2022-11-01, 3.14 - 2023-05-01, 3.15 - 2023-11-01, 3.16 - 2024-05-23,
  3.17 - 2024-11-22, 3.18 - 2025-05-09, 3.19 - 2025-11-01, 3.20 - 2026-04-01, 3.21 - 2026-11-01,
  3.22 - 2027-05-01, 3.23 - 2027-11-01`;
const CENTOS = '5 - 2017-03-31, 6 - 2020-11-30, 7 - 2024-06-30, 8 - 2021-12-31';

/** Releases known to rule VET060. */
export const distributionReleases: readonly DistributionRelease[] = [
  ...table('debian', DEBIAN),
  ...table('ubuntu', UBUNTU),
  ...table('alpine', ALPINE),
  ...table('centos', CENTOS),
];

/** The release an image name tells: `debian:stretch-slim`, `php:7.2-apache-stretch`, `node:8-alpine3.9`. */
export function releaseOf({ repository, tag = '' }: ImageReference): DistributionRelease | undefined {
  const name = repository.split('/').pop() ?? '';
  const words = tag.toLowerCase().split('-');
  return distributionReleases.find(({ distribution, version, codename }) => {
    if (codename !== undefined && words.includes(codename)) return true;
    if (words.includes(`${distribution}${version}`)) return true;
    if (name !== distribution && !(name === 'buildpack-deps' && distribution !== 'alpine')) return false;
    return words[0] === version || words[0]!.startsWith(`${version}.`);
  });
}

function table(distribution: string, rows: string): readonly DistributionRelease[] {
  return rows.split(',').map((row) => {
    const [version, codename, supportEnds, longTermEnds] = row.trim().split(/\s+/);
    return {
      distribution,
      version: version!,
      codename: codename === '-' ? undefined : codename,
      supportEnds: supportEnds!,
      longTermEnds,
    };
  });
}
