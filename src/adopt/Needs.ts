/** What moved servers take from their surroundings, which the daemon may have less of than their hosts had. Pure. */
import { Result } from "effect"
import { interpolate, type References } from "../config/Interpolation.ts"
import type { Server } from "./Plan.ts"

/** A variable or an input, and the servers that refer to it. */
export interface Need {
  readonly kind: "variable" | "input"
  readonly name: string
  readonly servers: ReadonlyArray<string>
  /** Whether it has a value here and now. */
  readonly isThere: boolean
}

/** Each of them once. */
export const needs = (servers: ReadonlyArray<Server>, here: References): ReadonlyArray<Need> => {
  const references = servers.flatMap(({ name, options }) => {
    const { pool: _, ...rest } = options
    return [...JSON.stringify(rest).matchAll(reference)].flatMap(([, input, name_]): ReadonlyArray<Reference> => {
      if (input !== undefined) return [{ kind: "input", name: input, server: name }]
      return builtIn.has(name_!) ? [] : [{ kind: "variable", name: name_!, server: name }]
    })
  })
  return [...Map.groupBy(references, ({ kind, name }) => `${kind} ${name}`).values()].map((same) => {
    const { kind, name } = same[0]!
    const isThere = Result.isSuccess(interpolate(kind === "input" ? `\${input:${name}}` : `\${${name}}`, here))
    return { kind, name, servers: [...new Set(same.map(({ server }) => server))], isThere }
  })
}

interface Reference {
  readonly kind: "variable" | "input"
  readonly name: string
  readonly server: string
}

/** Not those with a default. */
const reference = /\$\{(?:input:([^}]+)|(?:env:)?([A-Za-z_]\w*))\}/g

const builtIn: ReadonlySet<string> = new Set([
  "workspaceFolder",
  "userHome",
  "HOME",
  "PATH",
  "USER",
  "LOGNAME",
  "SHELL"
])
