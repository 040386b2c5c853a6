/**
 * Tools and prompts of all servers by the names under which they are shown (`server__name`, see `ToolNames`), and the way
 * back. Most names say themselves what they mean, so that a call needs no list. Pure.
 */
import { exposed } from "../proxy/ToolNames.ts"

/** A tool or prompt of a server, as the server calls it. */
export interface Named {
  readonly server: string
  readonly name: string
}

/**
 * What a name means by itself; null where it has a hash or is none of ours. No other tool of any server is shown under it:
 * what is shown as `server__name` ends the server at its first `__`, and does not look as if it had a hash.
 */
export const plain = (shown: string): Named | null => {
  const at = shown.indexOf(separator)
  if (at < 1 || shown.length > longest) return null
  const server = shown.slice(0, at)
  const name = shown.slice(at + separator.length)
  return exposed(server, name) === shown ? { server, name } : null
}

const separator = "__"
/** Nothing longer is shown. */
const longest = 64
