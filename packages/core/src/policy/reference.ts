import type { ImageReference } from '@imagevet/registry';

/** The canonical name: `docker.io/library/php:7.2-apache@sha256:...`. */
export function canonicalName(reference: ImageReference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`;
  const digest = reference.digest === undefined ? '' : `@${reference.digest}`;
  return `${reference.registry}/${reference.repository}${tag}${digest}`;
}
