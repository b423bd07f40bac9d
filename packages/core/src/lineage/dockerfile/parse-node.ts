import { ImagevetError, type Platform } from '@imagevet/registry';
import { parseDockerfile } from '../../dockerfile/parse-dockerfile.ts';
import { type ExternalImage, externalImages, usedParameters } from '../../dockerfile/queries.ts';
import type { Dockerfile } from '../../dockerfile/types.ts';
import type { Gap } from '../../errors.ts';
import type { DockerfileRecord, ProvenanceClaim } from '../types.ts';

/** A Dockerfile read with what its image was built with. */
export interface ParsedNode {
  /** With the parameters that reach the Dockerfile. */
  readonly record: DockerfileRecord;
  readonly dockerfile?: Dockerfile;
  readonly inputs: readonly ExternalImage[];
  readonly gaps: readonly Gap[];
}

/** Reads the Dockerfile of a node; one that is none is a gap. Values given by the caller go over those attested. */
export function parseNode(
  record: DockerfileRecord,
  claims: readonly ProvenanceClaim[],
  options: { readonly platform: Platform; readonly buildArgs?: Readonly<Record<string, string>> },
  node: string,
): ParsedNode {
  if (record.text === undefined) return { record, inputs: [], gaps: [] };
  const attested = claims.find(({ parameters }) => parameters !== undefined)?.parameters;
  const given = { ...attested, buildArgs: { ...attested?.buildArgs, ...options.buildArgs } };
  const on = claims.find(({ buildPlatform }) => buildPlatform !== undefined)?.buildPlatform;
  let parsed: { readonly record: DockerfileRecord; readonly dockerfile?: Dockerfile } = { record };
  try {
    const dockerfile = parseDockerfile(record.text, {
      ...{ platform: options.platform, ...given },
      ...(on === undefined ? {} : { buildPlatform: on }),
    });
    const parameters = usedParameters(dockerfile, given);
    parsed = { record: parameters === undefined ? record : { ...record, parameters }, dockerfile };
    return { ...parsed, inputs: externalImages(dockerfile), gaps: [] };
  } catch (error) {
    if (!ImagevetError.is(error)) throw error;
    const { code, message } = error;
    return { ...parsed, inputs: [], gaps: [{ stage: 'lineage', code, message, node }] };
  }
}
