export { type Bitbucket, type BitbucketOptions, startBitbucket } from './bitbucket-host.ts';
export { collect } from './collect.ts';
export { startProxy, type TestProxy, type TestProxyOptions } from './connect-proxy.ts';
export type { AuthenticationFault } from './faults/authentication.ts';
export type { ConnectionFault } from './faults/connections.ts';
export type { ContentFault } from './faults/content.ts';
export type { FaultDescription } from './faults/fault.ts';
export type { ListFault } from './faults/lists.ts';
export { type Fault, listFaults } from './faults/mischief.ts';
export type { RedirectFault } from './faults/redirects.ts';
export type { UploadFault } from './faults/uploads.ts';
export { type GitHost, type GitHostOptions, startGitHost } from './git-host.ts';
export {
  type CommitFile,
  type CreateRepositoryOptions,
  createRepository,
  type RepositoryCommit,
} from './git-repository.ts';
export type { HostedRepositories, RepositoryMark } from './git-routes.ts';
export { type Gitea, type GiteaOptions, startGitea } from './gitea-host.ts';
export { type GitLab, type GitLabOptions, startGitLab } from './gitlab-host.ts';
export {
  type HostileImage,
  type HostileLayer,
  listHostileImages,
  pushHostileImage,
} from './hostile-image.ts';
export { type HubOptions, type HubRepository, startHub } from './hub.ts';
export { makeTar, pushTestImage, pushTestIndex, type TestFile, type TestImage } from './image.ts';
export type { HostFaults, LoopbackHost, ReceivedRequest } from './loopback.ts';
export { startRegistry, type TestRegistry, type TestRegistryOptions } from './registry.ts';
export type { BearerOptions } from './token-server.ts';
