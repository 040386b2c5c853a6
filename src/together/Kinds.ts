/** The lists of MCP, as far as those of several servers become one. Pure. */
import { exposed } from "../proxy/ToolNames.ts"

/** One of them. */
export interface Kind {
  readonly method: string
  /** Of the server's capabilities, the one without which it has no such list. */
  readonly capability: "tools" | "prompts" | "resources"
  /** Where the items stand in a page. */
  readonly key: string
  /** Where an item says which one it is. */
  readonly id: "name" | "uri" | "uriTemplate"
  /** The notification that tells of its changes. */
  readonly announcement: string
  /** The id under which an item of a server is shown. */
  readonly shown: (server: string, id: string) => string
}

const kind = (
  capability: Kind["capability"],
  path: string,
  key: string,
  id: Kind["id"],
  shown: Kind["shown"] = (_, id) => id
): Kind => ({
  capability,
  method: `${path}/list`,
  key,
  id,
  announcement: `notifications/${capability}/list_changed`,
  shown
})

export const tools = kind("tools", "tools", "tools", "name", exposed)
export const prompts = kind("prompts", "prompts", "prompts", "name", exposed)
export const resources = kind("resources", "resources", "resources", "uri")
export const templates = kind("resources", "resources/templates", "resourceTemplates", "uriTemplate")

/** All of them. */
export const all: ReadonlyArray<Kind> = [tools, prompts, resources, templates]

/** By the method that lists it. */
export const byMethod: ReadonlyMap<string, Kind> = new Map(all.map((kind) => [kind.method, kind]))

/** The notifications that tell of changes. */
export const announcements: ReadonlySet<string> = new Set(all.map(({ announcement }) => announcement))
