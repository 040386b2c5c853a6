/** What a path means. Pure. */

/** What is asked for. */
export type Route =
  | { readonly to: "server"; readonly name: string }
  | { readonly to: "together" }
  | { readonly to: "health" }
  | { readonly to: "metrics" }

/** Of a request's target; undefined where nothing is there. What follows a `?` does not matter. */
export const parse = (target: string): Route | undefined => {
  const query = target.indexOf("?")
  const path = query === -1 ? target : target.slice(0, query)
  if (path.startsWith(before) && path.endsWith(after)) {
    const name = decoded(path.slice(before.length, -after.length))
    return name === undefined || name === "" ? undefined : { to: "server", name }
  }
  if (path === together) return { to: "together" }
  if (path === "/health") return { to: "health" }
  if (path === "/metrics") return { to: "metrics" }
  return undefined
}

/** The path of a server. */
export const pathOf = (name: string): string => `${before}${encodeURIComponent(name)}${after}`

/** The path of all servers as one. */
export const together = "/mcp"

const before = "/servers/"
const after = "/mcp"

const decoded = (text: string): string | undefined => {
  if (text.includes("/")) return undefined
  if (!text.includes("%")) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
