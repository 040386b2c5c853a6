/** What a legacy client says of itself in `initialize`, and how that is said to a server of either era. */
import type { Line } from "../lines/LineReader.ts"
import { metaKeys, metaOf, poolInfo } from "../server/Era.ts"
import type { Handshake, Hello } from "../server/Handshake.ts"
import { internalError } from "../WireError.ts"
import * as Capabilities from "./Capabilities.ts"
import * as Edits from "./era/Edits.ts"
import * as Presented from "./era/Presented.ts"
import * as LogLevel from "./LogLevel.ts"
import * as Reply from "./Reply.ts"
import type { Client } from "./Upstream.ts"

export class Introduction {
  readonly hello: Hello
  readonly capabilities: Capabilities.Capabilities
  readonly clientInfo: Client["clientInfo"]
  #meta: { readonly key: string; readonly text: string } | null = null

  constructor(hello: Hello) {
    this.hello = hello
    this.capabilities = Capabilities.read(hello.capabilities)
    const { name, version } = hello.clientInfo as { readonly name?: unknown; readonly version?: unknown }
    this.clientInfo = { name: bounded(name), version: bounded(version) }
  }

  /** Members of `_meta` for a modern server. `level` is an index into `logLevels`, or null. */
  meta(areAsked: boolean, level: number | null): string {
    const key = `${areAsked} ${level}`
    if (this.#meta?.key !== key) {
      const { capabilities, clientInfo } = this.hello
      const said = metaOf({
        capabilities: areAsked ? capabilities : {},
        clientInfo: isInfo(clientInfo) ? clientInfo : poolInfo
      })
      const logs = level === null ? {} : { [metaKeys.level]: LogLevel.logLevels[level] }
      this.#meta = { key, text: Edits.members({ ...said, ...logs }, Reply.json) }
    }
    return this.#meta.text
  }

  /** The server's own answer to it: as it came where it was told what the client says of itself. */
  answer(id: string, handshake: Handshake, isOwn: boolean): string {
    try {
      const asItCame = isOwn && handshake.era === "legacy"
      return Reply.result(
        id,
        Reply.json(asItCame ? handshake.result : Presented.initializeResult(handshake, this.hello.protocolVersion))
      )
    } catch {
      return Reply.failure(id, {
        code: internalError,
        message: "the server's answer to initialize is nested too deeply"
      })
    }
  }
}

/** What `initialize` says; null where it names no version. */
export const read = (line: Line): Introduction | null => {
  const { params } = JSON.parse(line.bytes.toString("utf8", line.start, line.end)) as {
    readonly params?: {
      readonly protocolVersion?: unknown
      readonly capabilities?: unknown
      readonly clientInfo?: unknown
    }
  }
  const protocolVersion = params?.protocolVersion
  if (typeof protocolVersion !== "string") return null
  const record = (value: unknown): object => (typeof value === "object" && value !== null ? value : {})
  const said = { capabilities: record(params?.capabilities), clientInfo: record(params?.clientInfo) }
  return new Introduction({ ...params, ...said, protocolVersion })
}

/** What a modern server accepts. */
const isInfo = (info: object): boolean =>
  "name" in info && typeof info.name === "string" && "version" in info && typeof info.version === "string"

const bounded = (value: unknown): string | null => (typeof value === "string" ? value.slice(0, 100) : null)

/** Of a client that has not said anything yet. */
export const none = new Introduction({ protocolVersion: "", capabilities: {}, clientInfo: {} })
