import { digestOf } from '../../digest.ts';
import { MediaType } from '../../oci/media-types.ts';
import { jsonAnswer } from '../answer.ts';
import type { StoreRequest } from '../registry-store.ts';
import { type FaultKind, type FaultMaker, type FaultPlaces, fault, instead, withHeaders } from './fault.ts';

export type ListFault =
  | 'link-elsewhere'
  | 'link-circle'
  | 'endless-tags'
  | 'filter-claimed'
  | 'endless-referrers'
  | 'junk-referrers'
  | 'lose-referrer-once'
  | 'lose-referrers';

const isTags = ({ path }: StoreRequest) => path.endsWith('/tags/list');
const isReferrers = ({ path }: StoreRequest) => path.includes('/referrers/');
const isReferrersTagPut = ({ method, path }: StoreRequest) =>
  method === 'PUT' && /\/manifests\/sha(?:256|512)-[0-9a-f]{64}$/.test(path);

function linkTo(
  does: string,
  target: (places: FaultPlaces, path: string, count: number) => string,
): FaultMaker {
  return fault(does, {
    after: (request, honest, places, count) =>
      isTags(request)
        ? withHeaders(honest, { link: `<${target(places, request.path, count)}>; rel="next"` })
        : honest,
  });
}

/** Takes a list of referrers in, and forgets it. */
function losing(does: string, times: number): FaultMaker {
  return instead(does, isReferrersTagPut, ({ body }, _places, count) =>
    count <= times ? jsonAnswer(201, {}, { 'docker-content-digest': digestOf(body) }) : undefined,
  );
}

/** S5, S22 and row 25: pages and referrers. */
export const lists: FaultKind<ListFault> = {
  threat: 'lists',
  faults: {
    'link-elsewhere': linkTo(
      'links the next page of tags on another origin',
      ({ elsewhere }, path) => `${elsewhere}${path}?n=1&last=a`,
    ),
    'link-circle': linkTo('links every page of tags to the first', (_places, path) => `${path}?n=1000`),
    'endless-tags': linkTo(
      'links every page of tags to another',
      (_, path, count) => `${path}?page=${count}`,
    ),
    'filter-claimed': fault('says it filtered referrers, and did not', {
      before: (request) => {
        if (isReferrers(request)) request.query.delete('artifactType');
        return undefined;
      },
      after: (request, honest) =>
        isReferrers(request) ? withHeaders(honest, { 'oci-filters-applied': 'artifactType' }) : honest,
    }),
    'endless-referrers': fault('links every page of referrers to another', {
      after: (request, honest, _places, count) =>
        isReferrers(request)
          ? withHeaders(honest, { link: `<${request.path}?page=${count}>; rel="next"` })
          : honest,
    }),
    'junk-referrers': instead('lists 20,000 referrers that are not there', isReferrers, () => {
      const mediaType = MediaType.ociManifest;
      const manifests = Array.from({ length: 20_000 }, (_, index) => ({
        ...{ mediaType, digest: digestOf(`junk ${index}`), size: 1, artifactType: 'junk' },
      }));
      const index = { schemaVersion: 2, mediaType: MediaType.ociIndex, manifests };
      return jsonAnswer(200, index, { 'content-type': MediaType.ociIndex });
    }),
    'lose-referrer-once': losing('loses the first list of referrers that is stored under a tag', 1),
    'lose-referrers': losing('loses every list of referrers stored under a tag', Number.POSITIVE_INFINITY),
  },
};
