export { ImagevetError, RegistryError } from '@imagevet/registry';
export { TrustError } from '@imagevet/trust';
export type { InstructionAssignment } from './audit/assignments.ts';
export {
  type AuditDockerfileOptions,
  type AuditLineageOptions,
  type AuditOptions,
  auditDockerfile,
  auditLineage,
} from './audit/audit.ts';
export type { Sink } from './audit/downloads/sink.ts';
export type { DownloadRecord, DownloadRole, VerificationGrade } from './audit/downloads/track.ts';
export type { AuditRule, DockerfileRule, FindingDraft, LineageRule } from './audit/rule.ts';
export { auditRules } from './audit/rules/index.ts';
export type { CommandUnit, RunOutcome } from './audit/run.ts';
export { type RenderSarifOptions, renderSarif } from './audit/sarif.ts';
export type { ShellArgument, ShellStep } from './audit/shell/steps.ts';
export type * from './audit/types.ts';
export type { DockerfileUnit, InstructionUnit, LineageUnit, StageUnit } from './audit/unit.ts';
export { CatalogCache } from './catalog/catalog-cache.ts';
export { resolveCatalog } from './catalog/resolve-catalog.ts';
export type * from './catalog/types.ts';
export type { ComparedDockerfile } from './compare/attribution.ts';
export { type CompareImagesOptions, type CompareProgress, compareImages } from './compare/compare-images.ts';
export { disagreementBelow } from './compare/disagreement.ts';
export type * from './compare/types.ts';
export { type Expansion, expand, type Variables } from './dockerfile/expand.ts';
export { type ParseDockerfileOptions, parseDockerfile } from './dockerfile/parse-dockerfile.ts';
export { baseOf, type ExternalImage, externalImages, finalStage } from './dockerfile/queries.ts';
export type * from './dockerfile/types.ts';
export { type CheckDriftOptions, checkDrift } from './drift/check-drift.ts';
export type * from './drift/types.ts';
export { type DriftedLineage, type DriftNotice, type WatchOptions, watch } from './drift/watch.ts';
export { CoreError, type CoreErrorCode, type Gap } from './errors.ts';
export { type PrefixProof, provePrefix } from './lineage/base/prove-prefix.ts';
export {
  type AlignedInstruction,
  type AlignHistoryOptions,
  alignHistory,
  type HistoryAlignment,
} from './lineage/history/align-history.ts';
export { compareLayout, type LayoutComparison } from './lineage/layout/compare-layout.ts';
export {
  createLineageCache,
  type LineageCache,
  type LineageCacheOptions,
  type RememberOptions,
} from './lineage/lineage-cache.ts';
export { type BuildTime, buildTimeOf } from './lineage/node/build-time.ts';
export type { AsOf, OtherVersions, OtherVersionsOptions, ResolveLineageOptions } from './lineage/options.ts';
export { lineageToDot, lineageToMermaid } from './lineage/plot.ts';
export {
  type FamilyMember,
  type ResolveFamilyOptions,
  resolveFamily,
} from './lineage/resolve-family.ts';
export { resolveLineage } from './lineage/resolve-lineage.ts';
export {
  type LineageGroup,
  type LineageSet,
  type PlatformDivergence,
  type ResolveLineagesOptions,
  resolveLineages,
} from './lineage/resolve-lineages.ts';
export { sharedHost } from './lineage/shared-services.ts';
export { spine } from './lineage/spine.ts';
export type * from './lineage/types.ts';
export { type AskWitnessesOptions, askWitnesses } from './lineage/witnesses.ts';
export { defaultPolicy } from './policy/default-policy.ts';
export { evaluate } from './policy/evaluate.ts';
export { parseException, parsePolicy, policyDigest } from './policy/parse.ts';
export { describeRule } from './policy/rules/rule-set.ts';
export type * from './policy/types.ts';
export { findBase, type ImageMaterial, imageMaterials } from './provenance/attestation/base-material.ts';
export {
  type BuildkitAttestationOptions,
  buildkitAttestationSource,
} from './provenance/attestation/source.ts';
export {
  type BuildMaterial,
  type BuildProvenance,
  type EmbeddedFile,
  parseProvenance,
} from './provenance/attestation/statement.ts';
export {
  type DescriptionLinks,
  findDockerfileLinks,
  parseDescriptionLinks,
  type TagLink,
} from './provenance/docker-hub/description.ts';
export { type DockerHubOptions, dockerHubSource } from './provenance/docker-hub/source.ts';
export { type FileLink, parseFileUrl } from './provenance/file-url.ts';
export { type BitbucketHostOptions, bitbucketHost } from './provenance/hosts/api/bitbucket.ts';
export { type CgitHostOptions, cgitHost } from './provenance/hosts/api/cgit.ts';
export type { ApiHostOptions } from './provenance/hosts/api/dialect.ts';
export { type GiteaHostOptions, giteaHost } from './provenance/hosts/api/gitea.ts';
export { type GitHubHostOptions, gitHubHost } from './provenance/hosts/api/github.ts';
export { type GitLabHostOptions, gitLabHost } from './provenance/hosts/api/gitlab.ts';
export type { GitOptions } from './provenance/hosts/git/git-command.ts';
export { type GitMirrorHostOptions, gitMirrorHost } from './provenance/hosts/git/git-mirror.ts';
export type { MirrorStoreOptions } from './provenance/hosts/git/mirror-store.ts';
export { type PublicHostsOptions, publicHosts } from './provenance/hosts/public-hosts.ts';
export { sourceHosts } from './provenance/hosts/source-hosts.ts';
export { ociAnnotationSource } from './provenance/image/annotations.ts';
export { imageHistorySource, reconstructDockerfile } from './provenance/image/history.ts';
export { imageLabelSource } from './provenance/image/labels.ts';
export { parseSourceAnnotation, type SourceAnnotation } from './provenance/image/source-annotation.ts';
export { joinVersions } from './provenance/join-versions.ts';
export { toRepositoryUrl } from './provenance/location.ts';
export {
  type ExternalPinVersionsOptions,
  externalPinVersions,
  parseExternalPin,
} from './provenance/official-images/external-pins.ts';
export {
  type LibraryCandidate,
  parseLibraryFile,
  resolveLibraryTag,
} from './provenance/official-images/library-file.ts';
export { type OfficialImagesOptions, officialImagesSource } from './provenance/official-images/source.ts';
export type { LibraryBuild, LibraryEntry, LibraryFile } from './provenance/official-images/types.ts';
export {
  type PublicServices,
  type PublicServicesOptions,
  publicServices,
} from './provenance/public-services.ts';
export { type PublicSourcesOptions, publicSources } from './provenance/public-sources.ts';
export { type PublicVersionsOptions, publicVersions } from './provenance/public-versions.ts';
export { KeptRegistry, type KeptRegistryOptions } from './provenance/registry/kept-registry.ts';
export { parseRepoInfo, type RepoInfoImage, type RepoInfoPlatform } from './provenance/repo-info/page.ts';
export { type RepoInfoVersionsOptions, repoInfoVersions } from './provenance/repo-info/versions.ts';
export { Allowance, type AllowanceOptions, type ServiceAllowance } from './provenance/web/allowance.ts';
export {
  AnswerCache,
  type AnswerCacheOptions,
  type AnswerDescription,
  type KeptAnswer,
} from './provenance/web/answer-cache.ts';
export type { RequestOptions } from './provenance/web/http.ts';
export type { HttpOptions } from './provenance/web/web-client.ts';
export { startArchiveProxy } from './rebuild/archive/archive-proxy.ts';
export type { MovedArchive } from './rebuild/archive/rules.ts';
export type { ArchiveProxy, ArchiveProxyOptions, FetchedMaterial } from './rebuild/archive/types.ts';
export {
  type AttestRebuildOptions,
  attestRebuild,
  type RebuildAttestation,
} from './rebuild/attest/attest-rebuild.ts';
export {
  type ResourceDescriptor,
  type SlsaProvenance,
  type SlsaProvenanceOptions,
  slsaProvenance,
} from './rebuild/attest/slsa-provenance.ts';
export { type BuilderPoolOptions, builderPool } from './rebuild/builder-pool.ts';
export { buildkitBuilder } from './rebuild/buildkit/buildkit-builder.ts';
export type { BuildkitAddress } from './rebuild/buildkit/connect.ts';
export type { BuildkitBuilderOptions } from './rebuild/buildkit/options.ts';
export type { ContextFinding } from './rebuild/context/foreign-content.ts';
export { type InspectContextsOptions, inspectContexts } from './rebuild/context/inspect-contexts.ts';
export { type DoubleBuilderOptions, doubleBuilder } from './rebuild/double-build.ts';
export { dockerEngineBuilder } from './rebuild/engine/docker-engine-builder.ts';
export type { EngineTls } from './rebuild/engine/engine.ts';
export type { DockerEngineBuilderOptions } from './rebuild/engine/options.ts';
export { type BakeFile, type BakeTarget, toBakeFile } from './rebuild/export/bake-file.ts';
export { type SourcePolicy, type SourcePolicyRule, toSourcePolicy } from './rebuild/export/source-policy.ts';
export { importImage } from './rebuild/import-image.ts';
export type { NameRule } from './rebuild/plan/internal-names.ts';
export { planId } from './rebuild/plan/plan-id.ts';
export { type PlanRebuildOptions, type PlanTarget, planRebuild } from './rebuild/plan/plan-rebuild.ts';
export { substituteBases } from './rebuild/plan/substitute-bases.ts';
export {
  type PromotedImage,
  type PromoteRebuiltOptions,
  promoteRebuilt,
} from './rebuild/promote-rebuilt.ts';
export { type RebuildOptions, rebuild } from './rebuild/rebuild.ts';
export type { StepTools } from './rebuild/run-step.ts';
export type { BuildProxy } from './rebuild/secrets/build-proxy.ts';
export type * from './rebuild/types.ts';
export { renderHtml } from './report/render-html.ts';
export { renderJson } from './report/render-json.ts';
export { renderMarkdown } from './report/render-markdown.ts';
export { type RenderTextOptions, renderText } from './report/render-text.ts';
export type * from './report/types.ts';
export { type Endorsable, type EndorseOptions, endorse } from './vet/endorse.ts';
export type { RebuildTarget, VetEvent, VetOptions, VetStage } from './vet/types.ts';
export { vet } from './vet/vet.ts';
