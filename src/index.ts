/** The library: each name is a module, named after its service or data. */
export * as McpPool from "./McpPool.ts"
export * as PoolConfig from "./config/PoolConfig.ts"
export * as PoolError from "./PoolError.ts"
export * as PoolStatus from "./PoolStatus.ts"
export * as RestartPolicy from "./server/RestartPolicy.ts"
export * as ServerSpec from "./config/ServerSpec.ts"
export * as ServerState from "./server/ServerState.ts"
export * as UnixListener from "./listen/UnixListener.ts"
